"""The console in a browser: each page shows what there is and acts, without a complaint, wide and narrow, light and dark."""
import http.client
import json
import math
import os
import shutil
import ssl
import struct
import subprocess
import time
import wave

from lib.browser import Browser
from lib.certs import Authority
from lib.harness import check, flashgate, test, until, wait_tcp
from test_admin import ask, get

PAGES = ["overview", "calls", "call/c1", "users", "trunks", "log"]


@test(seconds=120, alone=True)
def console_shows_a_call_and_hangs_it_up(bench):
    """two viewers in chromium watch a phone call the echo; pictures of every page are kept; one hangs the call up"""
    gateway = bench.gateway(users=["alice"], trunks=[{"name": "provider", "uri": "sip:127.0.0.1:9"}])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("echo"))
    alice.established()
    base = "http://127.0.0.1:%d/" % gateway.console
    one, two = Browser(bench), Browser(bench)
    for browser in (one, two):
        browser.open(base)
        browser.wait("running", "Calls so far", "Media lag, worst")
    shown = {"calls": ["c1", "up", "alice", "echo", "pcmu"], "users": ["alice@", "yes"], "trunks": ["provider", "no registration"],
             "log": ["call begins", "c1"], "call/c1": ["Caller: ", "Received", "dBov"], "overview": ["running"]}
    for width, height, dark in [(1280, 900, False), (390, 844, True)]:
        one.size(width, height, dark)
        for page in PAGES:
            one.run("location.hash = '#%s'" % page)
            one.wait(*shown[page])
            one.picture(bench.path("%s-%d.png" % (page.replace("/", "-"), width)))
            wide = one.run("document.documentElement.scrollWidth - innerWidth")
            check(wide <= 0, "the page %s is %s pixels wider than %d" % (page, wide, width))
    one.size(1280, 900, False)
    one.run("location.hash = '#call/c1'")
    one.wait("Caller: ")
    one.run("document.getElementById('ladder-show').click()")
    diagram = one.wait("| INVITE SDP ---", "200 OK (INVITE) SDP", "flashgate")
    check("response=" not in diagram, "a secret is shown")
    one.run("document.getElementById('ladder').scrollIntoView()")
    one.picture(bench.path("ladder.png"))
    check(len(ask(gateway, "ladder", "c1")["messages"]) >= 4, "too few messages")
    # The other viewer hangs up, by keyboard as much as by hand: the button asks first.
    two.run("location.hash = '#call/c1'")
    two.wait("Caller: ")
    two.run("document.getElementById('hangup').click()")
    two.wait("Hang up call c1?")
    check(two.run("document.activeElement.value") == "no", "the careful answer is not the first")
    two.run("document.getElementById('sure').click()")
    two.wait("call c1 is hung up")
    alice.closed()
    one.run("location.hash = '#calls'")
    one.wait("No calls now.")
    for browser in (one, two):
        check(not browser.complaints, browser.complaints)
        browser.close()


@test(seconds=120, alone=True)
def console_runs_a_room(bench):
    """a phone and an RTMP client are in a room: the console shows both, mutes, turns up, locks, plays, records, kicks and ends; the
    commands show the same"""
    prompts, recordings = bench.path("prompts"), bench.path("recordings")
    os.makedirs(prompts)
    write_tone(os.path.join(prompts, "news.wav"))
    gateway = bench.gateway({"conference": {"prompts": prompts, "recordings": recordings}}, users=["alice"])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("conference/team"))
    alice.established()
    client = subprocess.Popen([flashgate(), "call", "rtmp://127.0.0.1:%d/call" % gateway.rtmp, "conference/team", "--duration", "90"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    browser = Browser(bench)
    try:
        browser.open("http://127.0.0.1:%d/" % gateway.console)
        browser.wait("running")
        kinds = ["room.muted", "room.locked", "room.recording", "room.left"]
        browser.run("(() => { window.seen = []; const e = new EventSource('api/v1/events');"
                    "for (const k of %s) e.addEventListener(k, (m) => seen.push(k + ' ' + m.data)); })()" % json.dumps(kinds))
        for width, height, dark in [(1280, 900, False), (390, 844, True)]:
            browser.size(width, height, dark)
            browser.run("location.hash = '#rooms'")
            browser.wait("team", "open")
            browser.picture(bench.path("rooms-%d.png" % width))
            browser.run("location.hash = '#room/team'")
            browser.wait("alice", "participant", "Kick", "Members")
            browser.run("new Promise((done) => setTimeout(done, 2500))")
            browser.picture(bench.path("room-%d.png" % width))
            wide = browser.run("document.documentElement.scrollWidth - innerWidth")
            check(wide <= 0, "the page is %s pixels wider than %d" % (wide, width))
        row = "[...document.querySelectorAll('#members tr')].find((r) => r.textContent.includes('alice'))"
        browser.run(row + ".querySelector('button').click()")
        browser.wait("muted", "Unmute")
        browser.run("(() => { const r = %s.querySelector('input'); r.value = '6'; r.dispatchEvent(new Event('change')); })()" % row)
        browser.wait("+6 dB")
        browser.run("document.getElementById('room-lock').click()")
        browser.wait("Unlock", "locked")
        browser.run("document.getElementById('room-record').click()")
        browser.wait("Stop recording")
        browser.run("(() => { const f = document.getElementById('room-play'); f.elements.file.value = 'news.wav'; f.requestSubmit(); })()")
        browser.wait("it plays for 2 s")
        listed = ask(gateway, "room", "team", "list")["members"]
        check(len(listed) == 2, listed)
        member = next(m for m in listed if "alice" in m["name"])
        check(member["muted"] and member["gain_db"] == 6, member)
        check(ask(gateway, "rooms")["rooms"][0]["locked"], "the room is not locked")
        ask(gateway, "room", "team", "unmute", "alice")
        browser.wait("Mute")
        wrong = subprocess.run([flashgate(), "room", "team", "kick", "nobody", "--socket", gateway.control], capture_output=True, text=True)
        check(wrong.returncode == 1 and "nobody in room team" in wrong.stderr, wrong.stderr)
        browser.run(row + ".querySelector('button.danger').click()")
        browser.wait("Send ")
        browser.run("document.getElementById('sure').click()")
        alice.closed()
        ask(gateway, "room", "team", "unrecord")
        check(any(name.startswith("team") for name in os.listdir(recordings)), os.listdir(recordings))
        page = get(gateway, "/metrics")[1]
        check("flashgate_rooms 1" in page and 'flashgate_room_members{role="member"} 1' in page, page)
        ask(gateway, "room", "team", "end")
        browser.wait("nobody is there")
        seen = browser.run("seen.join('\\n')")
        for kind in kinds:
            check(kind in seen, "%s was not told: %s" % (kind, seen))
        check(not browser.complaints, browser.complaints)
    finally:
        browser.close()
        client.kill()
        client.wait()


def write_tone(path):
    """Two seconds of a tone."""
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"".join(struct.pack("<h", int(6000 * math.sin(n * 0.5))) for n in range(16000)))


@test(seconds=60, alone=True)
def console_over_tls(bench):
    """the console answers over TLS to those who show the password; a certificate that is replaced is shown to the next who come"""
    authority = Authority(bench.folder)
    cert, key = bench.path("console-cert.pem"), bench.path("console-key.pem")

    def issue(name):
        for made, path in zip(authority.issue(name), (cert, key)):
            shutil.copy(made, path)

    issue("first")
    port = bench.ports()
    gateway = bench.gateway({"rtmp": {"tls": []}, "sip": {"tls": []}, "console": {"tls": ["127.0.0.1:%d" % port], "password": "pw"}, "tls": {"certificate": cert, "key": key}})

    wait_tcp(port, alive=gateway.running)

    def status(password):
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())
        connection.request("GET", "/api/v1/status", headers={"Authorization": "Bearer " + password})
        shown = ssl.DER_cert_to_PEM_cert(connection.sock.getpeercert(True))
        return connection.getresponse().status, shown

    check(status("wrong")[0] == 401, "a wrong password is let in")
    code, first = status("pw")
    check(code == 200, "%d over TLS" % code)
    time.sleep(1.1)
    issue("second")
    until(lambda: status("pw")[1] != first, 20, "the old certificate is still shown")
    check(status("pw")[0] == 200, "not served with the new certificate")
