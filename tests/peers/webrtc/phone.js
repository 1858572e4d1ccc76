// A phone in a page: registers, calls, answers whoever calls, and says which tone it hears.
import * as module from "jssip";

const JsSIP = module.default || module;
const quiet = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false };
const heard = new AudioContext();
let analyser = null;

function say(text) {
  document.body.append(text, document.createElement("br"));
}

function follow(session, name) {
  const listen = (connection) => {
    connection.addEventListener("track", (event) => {
      const stream = event.streams[0] || new MediaStream([event.track]);
      // Chromium decodes nothing that no element plays.
      const element = document.querySelector("audio");
      element.srcObject = stream;
      element.play();
      analyser = heard.createAnalyser();
      analyser.fftSize = 8192;
      heard.createMediaStreamSource(stream).connect(analyser);
      heard.resume();
    });
  };
  if (session.connection) listen(session.connection);
  else session.on("peerconnection", (event) => listen(event.peerconnection));
  session.on("confirmed", () => say(name + " confirmed"));
  session.on("ended", (event) => say(name + " ended: " + event.cause));
  session.on("failed", (event) => say(name + " failed: " + event.cause));
  window.session = session;
}

window.start = (url, user, password, domain) => {
  const socket = new JsSIP.WebSocketInterface(url);
  const phone = new JsSIP.UA({ sockets: [socket], uri: "sip:" + user + "@" + domain, password, session_timers: false });
  phone.on("registered", () => say("registered"));
  phone.on("registrationFailed", (event) => say("registration failed: " + event.cause));
  phone.on("newRTCSession", (event) => {
    if (event.originator === "local") return;
    follow(event.session, "incoming");
    event.session.answer({ mediaConstraints: quiet });
  });
  window.call = (target) => {
    const session = phone.call("sip:" + target + "@" + domain, { mediaConstraints: quiet, eventHandlers: {} });
    follow(session, "outgoing");
  };
  phone.start();
};

// The loudest frequency, Hz, and how loud it is, dB.
window.loudest = () => {
  if (!analyser) return [0, -200];
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  let best = 0;
  bins.forEach((level, n) => { if (level > bins[best]) best = n; });
  return [best * heard.sampleRate / analyser.fftSize, Math.max(bins[best], -200)];
};

// What the connection's own statistics say: codec, protection, packets.
window.facts = async () => {
  const facts = {};
  for (const report of (await window.session.connection.getStats()).values()) {
    if (report.type === "inbound-rtp") facts.received = report.packetsReceived;
    if (report.type === "outbound-rtp") facts.sent = report.packetsSent;
    if (report.type === "remote-inbound-rtp") facts.rtt = report.roundTripTime;
    if (report.type === "codec") facts.codec = report.mimeType;
    if (report.type === "transport") {
      facts.dtls = report.dtlsState;
      facts.srtp = report.srtpCipher;
      facts.ice = report.iceState;
    }
  }
  return facts;
};
