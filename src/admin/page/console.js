"use strict";
// The console: shows what the API gives, live by its event stream. Text only ever enters the page as text.

const $ = (id) => document.getElementById(id);
const pages = ["overview", "calls", "call", "rooms", "room", "users", "trunks", "log"];
const state = { status: null, calls: [], history: [], lines: [], rooms: [], call: null, room: null, page: "overview" };
const KEPT = 2000;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, f] of Object.entries(value)) element.addEventListener(event, f);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((c) => c !== null && c !== undefined));
  return element;
}

async function api(path, method = "GET", body) {
  const options = { method, headers: { "X-Flashgate": "console" } };
  if (body) { options.body = JSON.stringify(body); options.headers["Content-Type"] = "application/json"; }
  const response = await fetch("api/v1" + path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || response.statusText);
  return answer;
}

let hide;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => { $("toast").hidden = true; }, 6000);
}

async function act(path, method, body) {
  try { toast((await api(path, method, body)).message || "done"); } catch (e) { toast(e.message); }
}

function sure(question, yes) {
  $("question").textContent = question;
  $("sure").textContent = yes;
  const dialog = $("ask");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
  });
}

const two = (n) => String(n).padStart(2, "0");
function clock(s) {
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return (h ? h + ":" + two(m) : m) + ":" + two(Math.floor(s) % 60);
}
const days = (s) => (s >= 86400 ? Math.floor(s / 86400) + " d " : "") + clock(s % 86400);
const ms = (x) => (x === null || x === undefined ? "" : Math.round(x) + " ms");
const percent = (x) => (x === null || x === undefined ? "" : x.toFixed(1) + " %");
const mib = (x) => Math.round(x / 1048576) + " MiB";

function pairs(list, rows, wrap) {
  list.replaceChildren(...rows.filter((r) => r[1] !== "" && r[1] !== null && r[1] !== undefined).flatMap(([name, value, mood]) => {
    const dt = make("dt", {}, name), dd = make("dd", { class: mood }, String(value));
    return wrap ? [make("div", {}, dt, dd)] : [dt, dd];
  }));
}

// A table that keeps its rows, so that focus and selection survive an update.
function table(holder, columns, rows, key, none) {
  if (!rows.length) {
    if (!holder.querySelector(".none")) holder.replaceChildren(make("p", { class: "none" }, none));
    return;
  }
  let body = holder.querySelector("tbody");
  if (!body) {
    const heads = columns.map((c) => make("th", { class: c.n ? "n" : undefined, scope: "col" }, c.head));
    body = make("tbody");
    holder.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body));
  }
  const old = new Map([...body.children].map((tr) => [tr.dataset.key, tr]));
  rows.forEach((row, at) => {
    const id = String(key(row));
    let tr = old.get(id);
    if (tr) old.delete(id);
    else {
      tr = make("tr", { "data-key": id }, ...columns.map((c) => make("td", { class: c.n ? "n" : undefined, "data-head": c.head })));
      columns.forEach((c, i) => { if (c.build) tr.children[i].append(c.build(row)); });
    }
    columns.forEach((c, i) => {
      if (c.update) c.update(tr.children[i].firstChild, row);
      if (c.build) return;
      const text = String(c.text(row) ?? "");
      if (tr.children[i].textContent !== text) tr.children[i].textContent = text;
      if (c.mood) tr.children[i].className = (c.n ? "n " : "") + (c.mood(row) || "");
    });
    if (body.children[at] !== tr) body.insertBefore(tr, body.children[at] || null);
  });
  for (const tr of old.values()) tr.remove();
}

const lossMood = (x) => (x >= 5 ? "bad" : x >= 1 ? "warn" : "");
const party = (leg) => (leg ? leg.name || leg.kind : "");

async function hangUp(id) {
  if (await sure("Hang up call " + id + "?", "Hang up")) await act("/calls/" + id, "DELETE");
}

const callColumns = [
  { head: "Call", build: (c) => make("a", { href: "#call/" + c.id }, c.id) },
  { head: "State", text: (c) => c.state },
  { head: "Time", n: true, text: (c) => clock(c.seconds) },
  { head: "Caller", text: (c) => c.caller },
  { head: "Dialled", text: (c) => c.dialled },
  { head: "Codecs", text: (c) => c.codecs },
  { head: "SRTP", text: (c) => c.srtp || "" },
  { head: "Loss", n: true, text: (c) => percent(c.loss_percent), mood: (c) => lossMood(c.loss_percent) },
  { head: "Jitter", n: true, text: (c) => ms(c.jitter_ms) },
  { head: "Round trip", n: true, text: (c) => (c.rtt_ms ? ms(c.rtt_ms) : "") },
  { head: "Delay", n: true, text: (c) => ms(c.delay_ms) },
  { head: "", build: (c) => make("button", { class: "danger", "aria-label": "Hang up " + c.id, on: { click: () => hangUp(c.id) } }, "Hang up") },
];

const roomColumns = [
  { head: "Room", build: (r) => make("a", { href: "#room/" + encodeURIComponent(r.name) }, r.name) },
  { head: "Members", n: true, text: (r) => r.members },
  { head: "Listeners", n: true, text: (r) => r.listeners },
  { head: "Talking", n: true, text: (r) => r.talkers },
  { head: "Has the floor", text: (r) => r.speaker },
  { head: "Door", text: (r) => (r.locked ? "locked" : "open"), mood: (r) => (r.locked ? "warn" : "") },
  { head: "Recorded", text: (r) => (r.recording ? "yes" : "") },
];

const roomPath = (rest = "") => "/rooms/" + encodeURIComponent(state.room) + rest;
async function inRoom(path, method, body) {
  await act(roomPath(path), method, body);
  drawRoom();
}
function memberAct(m, verb) { return inRoom("/members/" + m.id + "/" + verb, "POST"); }
async function kick(m) {
  if (await sure("Send " + (m.name || m.id) + " away?", "Send away")) await inRoom("/members/" + m.id, "DELETE");
}

// What a button does depends on the row as it is now, so rows are kept on their elements.
const memberColumns = [
  { head: "Member", text: (m) => m.name || m.id },
  { head: "Role", text: (m) => (m.at_door ? "at the door" : m.role) },
  { head: "Here for", n: true, text: (m) => clock(m.seconds) },
  { head: "Call", build: (m) => (m.call ? make("a", { href: "#call/" + m.call }, m.call) : "") },
  { head: "State", text: (m) => [m.speaks && "talks", m.muted && "muted", m.deaf && "deaf", m.hand && "hand up"].filter(Boolean).join(", "),
    mood: (m) => (m.hand ? "warn" : m.speaks ? "good" : "") },
  { head: "Level", build: () => make("div", { class: "meter", role: "meter", "aria-label": "Level", "aria-valuemin": -60, "aria-valuemax": 0 }, make("i")),
    update: (meter, m) => drawLevel(meter, m.level_dbov) },
  { head: "Gain", build: (m) => make("label", {}, make("input", { type: "range", min: -20, max: 20, step: 1, "aria-label": "Gain of " + (m.name || m.id),
      on: { change: (e) => inRoom("/members/" + m.id + "/gain", "POST", { db: e.target.value }) } }), " ", make("span")),
    update: (label, m) => {
      if (document.activeElement !== label.firstChild) label.firstChild.value = m.gain_db;
      label.lastChild.textContent = (m.gain_db > 0 ? "+" : "") + m.gain_db + " dB";
    } },
  { head: "", build: (m) => {
      const holder = make("span", {});
      const mute = make("button", { on: { click: () => memberAct(holder.row, holder.row.muted ? "unmute" : "mute") } });
      holder.append(mute, make("button", { class: "danger", "aria-label": "Kick " + (m.name || m.id), on: { click: () => kick(holder.row) } }, "Kick"));
      return holder;
    },
    update: (holder, m) => {
      holder.row = m;
      holder.firstChild.textContent = m.muted ? "Unmute" : "Mute";
      holder.firstChild.setAttribute("aria-label", (m.muted ? "Unmute " : "Mute ") + (m.name || m.id));
      holder.firstChild.hidden = m.role === "listener";
    } },
];

const userColumns = [
  { head: "User", text: (u) => u.aor },
  { head: "Account", text: (u) => (u.account ? "yes" : "no") },
  { head: "Reached at", text: (u) => u.contact_uris || "not registered", mood: (u) => (u.contact_uris ? "" : "warn") },
  { head: "From", text: (u) => u.remotes },
  { head: "Ends in", n: true, text: (u) => (u.expires_s === null ? "" : clock(u.expires_s)) },
  { head: "Program", text: (u) => u.user_agent },
];

const trunkColumns = [
  { head: "Trunk", text: (t) => t.name },
  { head: "Server", text: (t) => t.uri },
  { head: "State", text: (t) => t.state, mood: (t) => (t.healthy ? "good" : "bad") },
  { head: "Gateways", text: (t) => t.gateways.map((g) => g.uri.replace(/^sips?:/, "") + " " + g.state).join(", "),
    mood: (t) => (t.gateways.every((g) => g.state === "down") ? "bad" : t.gateways.some((g) => g.state === "down") ? "warn" : "") },
  { head: "Calls now", n: true, text: (t) => t.calls_now },
  { head: "So far", n: true, text: (t) => t.calls },
  { head: "Came in", n: true, text: (t) => t.calls_in },
  { head: "Answered", n: true, text: (t) => t.answered },
  { head: "Failed", n: true, text: (t) => t.failed, mood: (t) => (t.failed ? "warn" : "") },
];

const plots = [
  ["Calls", "calls", (x) => x],
  ["Clients", "sessions", (x) => x],
  ["Calls begun", "began", (x) => x],
  ["Refused", "refused", (x) => x],
  ["Lost or late audio", "loss_percent", percent],
  ["Media lag, worst", "lag_ms", (x) => x.toFixed(1) + " ms"],
  ["Processor", "cpu_percent", (x) => x.toFixed(0) + " %"],
  ["Memory", "memory_bytes", mib],
];

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function drawPlots() {
  const W = 359, H = 60, end = Date.now(), hour = 3600e3;
  $("plots").replaceChildren(...plots.map(([title, name, show]) => {
    const points = state.history.map((s) => [W * (1 - (end - Date.parse(s.time)) / hour), s[name]]).filter((p) => p[0] >= 0);
    const top = Math.max(1, ...points.map((p) => p[1])) * 1.1;
    const at = points.map(([x, y]) => x.toFixed(1) + " " + (H - (y / top) * H).toFixed(1));
    const last = points.length ? points[points.length - 1][1] : 0;
    const picture = svg("svg", { viewBox: "0 0 " + W + " " + H, preserveAspectRatio: "none", role: "img",
      "aria-label": title + ": now " + show(last) });
    if (at.length > 1) {
      const line = "M" + at.join("L");
      picture.append(svg("path", { class: "area", d: line + "L" + points[points.length - 1][0].toFixed(1) + " " + H + "L" + points[0][0].toFixed(1) + " " + H + "Z" }));
      picture.append(svg("path", { class: "edge", d: line }));
    }
    const most = points.length ? Math.max(...points.map((p) => p[1])) : 0;
    return make("figure", { class: "plot" }, make("figcaption", {}, make("span", {}, title), make("b", {}, String(show(last)))), picture,
      make("div", { class: "axis" }, make("span", {}, "1 h ago"), make("span", {}, "most " + show(most)), make("span", {}, "now")));
  }));
}

function drawStatus() {
  const s = state.status;
  if (!s) return;
  $("name").textContent = s.name;
  const stuck = s.shards.some((x) => !x.answers);
  $("state").textContent = stuck ? "a shard is stuck" : s.state;
  $("state").className = "pill " + (stuck ? "bad" : s.state === "running" ? "good" : "warn");
  $("count").textContent = s.calls.now || "";
  $("room-count").textContent = s.rooms.now || "";
  if (state.page !== "overview") return;
  pairs($("facts"), [
    ["Calls", s.calls.now], ["Ringing", s.calls.ringing + s.calls.dialling], ["Clients", s.sessions], ["Registered", s.registered],
    ["Streams", s.streams], ["Rooms", s.rooms.now], ["In rooms", s.rooms.members + s.rooms.listeners], ["Trunks up", s.trunks], ["Calls so far", s.calls.total], ["Answered", s.calls.answered],
    ["Refused", s.calls.refused, s.calls.refused ? "warn" : ""], ["Up", days(s.uptime_s)],
  ], true);
  const where = Object.entries(s.listening).filter(([, a]) => a.length).map(([n, a]) => [n.replace("_", " over ").toUpperCase(), a.join(", ")]);
  pairs($("details"), [["Version", s.version], ["Started", new Date(s.started).toLocaleString()], ...where,
    ["Memory", mib(s.memory_bytes)], ["Open files", s.open_files], ["Shards", s.shards.length]]);
  if (document.activeElement !== $("level")) $("level").value = s.log_level;
}

function drawCalls() {
  if (state.page !== "calls") return;
  const wanted = $("filter").value.toLowerCase();
  const fits = (c) => !wanted || JSON.stringify(c).toLowerCase().includes(wanted);
  table($("calls"), callColumns, state.calls.filter(fits), (c) => c.id, state.calls.length ? "No call fits the filter." : "No calls now.");
}

function drawLevel(meter, dbov) {
  const level = dbov ?? -127;
  meter.firstChild.style.width = Math.max(0, Math.min(100, (level + 60) / 0.6)) + "%";
  meter.setAttribute("aria-valuenow", Math.max(-60, level));
}

function drawRooms() {
  if (state.page !== "rooms") return;
  table($("rooms"), roomColumns, state.rooms, (r) => r.name, "No rooms are open. Whoever calls conference/NAME opens one.");
}

async function drawRoom() {
  const name = state.room;
  $("h-room").textContent = "Room " + name;
  let room;
  // What is not in the list is not asked for: a refusal would be a complaint in the browser's log.
  if (state.rooms.some((r) => r.name === name)) try { room = await api(roomPath()); } catch (e) { room = null; }
  if (state.page !== "room" || state.room !== name) return;
  for (const button of document.querySelectorAll("#page-room button")) if (!$("members").contains(button)) button.disabled = !room;
  if (!room) {
    pairs($("room-facts"), [["State", "nobody is there"]], true);
    $("members").replaceChildren();
    return;
  }
  pairs($("room-facts"), [["Members", room.members.filter((m) => m.role !== "listener").length], ["Listeners", room.listeners],
    ["Talking", room.talkers], ["Has the floor", room.speaker], ["Door", room.locked ? "locked" : "open", room.locked ? "warn" : ""],
    ["Recorded", room.recording ? "yes" : "no", room.recording ? "bad" : ""]], true);
  $("room-lock").textContent = room.locked ? "Unlock" : "Lock";
  $("room-record").textContent = room.recording ? "Stop recording" : "Record";
  table($("members"), memberColumns, room.members, (m) => m.id, "Nobody.");
}

async function drawCall() {
  const id = state.call;
  $("h-call").textContent = "Call " + id;
  let call;
  // As with rooms: what is not in the list is not asked for.
  if (state.calls.length >= 1000 || state.calls.some((c) => c.id === id)) try { call = await api("/calls/" + encodeURIComponent(id)); } catch (e) { call = null; }
  if (state.page !== "call" || state.call !== id) return;
  $("hangup").disabled = !call;
  if (!call) {
    pairs($("call-facts"), [["State", "over"]], true);
    $("legs").replaceChildren();
    return;
  }
  pairs($("call-facts"), [["State", call.state], ["Time", clock(call.seconds)], ["Dialled", call.dialled], ["Codecs", call.codecs], ["SRTP", call.srtp || "-"],
    ["Delay added", ms(call.delay_ms)], ["Loss", percent(call.loss_percent), lossMood(call.loss_percent)]], true);
  if ($("legs").children.length !== call.legs.length) {
    $("legs").replaceChildren(...call.legs.map(() => make("div", { class: "leg" }, make("h3"), make("div", { class: "meter", role: "meter",
      "aria-label": "Level", "aria-valuemin": -60, "aria-valuemax": 0 }, make("i")), make("dl", { class: "details" }))));
  }
  call.legs.forEach((leg, i) => {
    const [head, meter, list] = $("legs").children[i].children;
    head.textContent = (leg.role === "caller" ? "Caller: " : "Callee: ") + party(leg);
    drawLevel(meter, leg.level_dbov);
    pairs(list, [["Kind", leg.kind], ["Trunk", leg.trunk], ["Level", leg.level_dbov === null ? "" : leg.level_dbov + " dBov"], ["Codec in", leg.codec_in],
      ["Codec out", leg.codec_out], ["Received", leg.received], ["Sent", leg.sent],
      ["Lost, late", leg.lost + ", " + leg.late, lossMood(leg.loss_percent)], ["Concealed", leg.concealed], ["Far end lost", leg.remote_lost],
      ["Jitter", ms(leg.jitter_ms)], ["Round trip", leg.rtt_ms ? ms(leg.rtt_ms) : ""], ["Delay added", ms(leg.delay_ms)],
      ["Left out", leg.left_out_ms ? ms(leg.left_out_ms) : ""]]);
  });
}

async function drawLadder() {
  let ladder;
  try { ladder = await api("/calls/" + encodeURIComponent(state.call) + "/ladder"); } catch (e) { toast(e.message); return null; }
  $("ladder").hidden = false;
  $("ladder").firstElementChild.textContent = ladder.message;
  $("ladder-texts").replaceChildren(...ladder.messages.filter((m) => m.text).map((m) =>
    make("details", {}, make("summary", {}, m.seconds.toFixed(3) + " s, from " + m.from + " to " + m.to + ": " + m.title), make("pre", {}, m.text))));
  return ladder;
}
async function saveLadder() {
  const ladder = await drawLadder();
  if (!ladder) return;
  const texts = ladder.messages.filter((m) => m.text).map((m) => m.seconds.toFixed(3) + " s, from " + m.from + " to " + m.to + "\n\n" + m.text);
  const url = URL.createObjectURL(new Blob([[ladder.message, ...texts].join("\n" + "-".repeat(72) + "\n")], { type: "text/plain" }));
  make("a", { href: url, download: "call-" + ladder.id + ".txt" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const known = new Set(["time", "level", "target", "message", "call"]);
function lineOf(line) {
  const rest = Object.entries(line).filter(([k]) => !known.has(k)).map(([k, v]) => k + "=" + v).join(" ");
  const mood = { ERROR: "bad", WARN: "warn" }[line.level] || "";
  const time = line.time ? new Date(line.time).toLocaleTimeString([], { hour12: false }) : "";
  return make("p", {}, make("time", {}, time), " ", make("span", { class: mood }, line.level || ""), " ",
    line.call ? make("a", { href: "#call/" + line.call }, line.call) : null, " ", line.message || "", " ", make("i", {}, rest));
}

function fits(line) {
  const call = $("log-call").value.trim(), text = $("log-text").value.toLowerCase();
  return (!call || line.call === call) && (!text || JSON.stringify(line).toLowerCase().includes(text));
}

function drawLog() {
  if (state.page !== "log") return;
  const holder = $("lines");
  holder.replaceChildren(...state.lines.filter(fits).slice(-500).map(lineOf));
  if ($("log-follow").checked) holder.scrollTop = holder.scrollHeight;
}

function addLine(line) {
  state.lines.push(line);
  if (state.lines.length > KEPT) state.lines.splice(0, state.lines.length - KEPT);
  const add = (holder) => {
    holder.append(lineOf(line));
    while (holder.children.length > 500) holder.firstChild.remove();
  };
  if (state.page === "log" && fits(line)) {
    add($("lines"));
    if ($("log-follow").checked) $("lines").scrollTop = $("lines").scrollHeight;
  }
  if (state.page === "call" && line.call === state.call) add($("call-log"));
}

async function drawUsers() {
  try { table($("users"), userColumns, (await api("/users")).users, (u) => u.aor, "No accounts, and nobody is registered."); } catch (e) { toast(e.message); }
}
async function drawTrunks() {
  try { table($("trunks"), trunkColumns, (await api("/trunks")).trunks, (t) => t.name, "No trunks are configured."); } catch (e) { toast(e.message); }
}

function show() {
  const [name, id] = location.hash.slice(1).split("/");
  state.page = pages.includes(name) ? name : "overview";
  state.call = state.page === "call" && id ? decodeURIComponent(id) : null;
  state.room = state.page === "room" && id ? decodeURIComponent(id) : null;
  for (const page of pages) $("page-" + page).hidden = page !== state.page;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.hash === "#" + ({ call: "calls", room: "rooms" }[state.page] || state.page);
    if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  $("ladder").hidden = true;
  document.title = (state.call ? "Call " + state.call : state.room ? "Room " + state.room : state.page[0].toUpperCase() + state.page.slice(1)) + " - flashgate";
  draw();
  if (state.page === "call") $("call-log").replaceChildren(...state.lines.filter((l) => l.call === state.call).map(lineOf));
}

function draw() {
  drawStatus();
  if (state.page === "overview") drawPlots();
  if (state.page === "calls") drawCalls();
  if (state.page === "call") drawCall();
  if (state.page === "rooms") drawRooms();
  if (state.page === "room") drawRoom();
  if (state.page === "users") drawUsers();
  if (state.page === "trunks") drawTrunks();
  if (state.page === "log") drawLog();
}

function listen() {
  const events = new EventSource("api/v1/events");
  const on = (kind, f) => events.addEventListener(kind, (e) => f(JSON.parse(e.data)));
  on("overview", (o) => {
    state.status = o.status;
    state.calls = o.calls.calls;
    state.rooms = o.rooms;
    drawStatus();
    drawCalls();
    drawRooms();
    if (state.page === "room") drawRoom();
    if (state.page === "call") drawCall();
  });
  on("sample", (s) => {
    state.history.push(s);
    if (state.history.length > 360) state.history.shift();
    if (state.page === "overview") drawPlots();
    if (state.page === "users") drawUsers();
    if (state.page === "trunks") drawTrunks();
  });
  on("log", addLine);
  events.onerror = () => { $("state").textContent = "not connected"; $("state").className = "pill bad"; };
}

async function start() {
  addEventListener("hashchange", () => { show(); $("main").focus({ preventScroll: true }); });
  $("filter").addEventListener("input", drawCalls);
  for (const id of ["log-call", "log-text", "log-follow"]) $(id).addEventListener("input", drawLog);
  $("level").addEventListener("change", () => act("/log/level", "POST", { level: $("level").value }));
  $("reload").addEventListener("click", () => act("/reload", "POST"));
  $("drain").addEventListener("click", async () => {
    if (await sure("Take no new calls and end when those in progress have ended?", "Drain and end")) await act("/drain", "POST");
  });
  $("hangup").addEventListener("click", () => hangUp(state.call));
  $("ladder-show").addEventListener("click", drawLadder);
  $("ladder-save").addEventListener("click", saveLadder);
  $("room-lock").addEventListener("click", () => inRoom($("room-lock").textContent === "Lock" ? "/lock" : "/unlock", "POST"));
  $("room-record").addEventListener("click", () => inRoom($("room-record").textContent === "Record" ? "/record" : "/unrecord", "POST"));
  $("room-hush").addEventListener("click", () => inRoom("/hush", "POST"));
  $("room-end").addEventListener("click", async () => {
    if (await sure("Send everybody out of room " + state.room + "?", "End the room")) await inRoom("", "DELETE");
  });
  for (const verb of ["dial", "play"]) {
    $("room-" + verb).addEventListener("submit", (e) => {
      e.preventDefault();
      const body = Object.fromEntries([...new FormData(e.target)].filter(([, v]) => v));
      inRoom("/" + verb, "POST", body);
    });
  }
  try {
    const [status, calls, rooms, history, log] =
      await Promise.all([api("/status"), api("/calls"), api("/rooms"), api("/history"), api("/log?limit=1000")]);
    state.status = status; state.calls = calls.calls; state.rooms = rooms.rooms; state.history = history.samples; state.lines = log.lines;
  } catch (e) { toast(e.message); }
  show();
  listen();
}
start();
