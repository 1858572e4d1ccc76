"""Chromium with JsSIP: a phone in a web page, over SIP on WebSocket, DTLS-SRTP and ICE."""
import http.server
import os
import threading
import time

from lib.browser import Browser
from lib.harness import check, test, until, wait_tcp
from test_admin import ask, records, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
BUNDLE = os.path.join(HERE, "webrtc", ".bundle.js")
PAGE = b"<!doctype html><meta charset=utf-8><title>phone</title><audio autoplay></audio><script src=phone.js></script>"


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = PAGE
        if self.path == "/phone.js":
            with open(BUNDLE, "rb") as file:
                body = file.read()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if self.path == "/phone.js" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def page(bench, tone):
    """A browser with our page in it, and that tone at its microphone."""
    check(os.path.exists(BUNDLE), "JsSIP is not installed: run this by scripts/test")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", bench.ports()), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bench.cleanups.append(server.shutdown)
    browser = Browser(bench, flags=[
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        "--use-file-for-fake-audio-capture=" + bench.media(tone), "--autoplay-policy=no-user-gesture-required",
        "--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"])
    bench.cleanups.append(browser.close)
    browser.open("http://127.0.0.1:%d/" % server.server_port)
    until(lambda: browser.run("typeof window.start") == "function", 10, "the page has no phone")
    return browser


def hears(browser, hz, seconds=8.0):
    """Until the page's analyser finds that tone on top."""
    def there():
        at, level = browser.run("window.loudest()")
        return level > -60 and abs(at - hz) < 12
    until(there, seconds, lambda: "wanted %d Hz, the page hears %s; %s" % (
        hz, browser.run("window.loudest()"), browser.run("window.facts()")))


def with_page(bench, codecs, tone="tone-440-8.wav"):
    ws = bench.ports()
    gateway = bench.gateway({
        "sip": {"websocket": ["127.0.0.1:%d" % ws], "websocket_origins": ["*"]},
        "media": {"codecs": codecs}}, users=["alice", "bob"])
    wait_tcp(ws, alive=gateway.running)
    browser = page(bench, tone)
    browser.run("window.start('ws://127.0.0.1:%d', 'alice', 'alicepw', 'test.invalid')" % ws)
    browser.wait("registered")
    return gateway, browser


def echoes(bench, codecs, mime):
    gateway, browser = with_page(bench, codecs)
    browser.run("window.call('echo')")
    browser.wait("outgoing confirmed", seconds=20)
    hears(browser, 440)
    time.sleep(2)
    facts = browser.run("window.facts()")
    check(facts["dtls"] == "connected" and facts["codec"] == mime and facts["received"] > 20, facts)
    call = ask(gateway, "calls")["calls"][0]
    leg = ask(gateway, "call-info", call["id"])["legs"][0]
    check(call["srtp"] == "yes" and leg["srtp"] and leg["forged"] == leg["replayed"] == 0, (call, leg))
    bench.note("%s %s" % (mime, leg["srtp"]))
    browser.run("window.session.terminate()")
    browser.wait("outgoing ended")
    record = wait_for("record", lambda: records(gateway), 5)[-1]
    check(record["media"][0]["srtp"] == leg["srtp"], record)


@test(seconds=90, alone=True)
def webrtc_echo_opus(bench):
    """a page registers and calls the echo in Opus; its own analyser hears its tone"""
    echoes(bench, ["opus", "pcmu"], "audio/opus")


@test(seconds=90, alone=True)
def webrtc_echo_pcmu(bench):
    """the same in G.711"""
    echoes(bench, ["pcmu"], "audio/PCMU")


@test(seconds=90, alone=True)
def webrtc_is_called_by_rtmp(bench):
    """an RTMP client calls the page; each hears the other"""
    gateway, browser = with_page(bench, ["opus", "pcmu"])
    heard = bench.path("heard.wav")
    call = bench.call(gateway, "alice", "--user", "bob", "--password", "bobpw", "--marks", "off", "--duration", 8,
                      "--play", bench.media("tone-620-8.wav"), "--record", heard)
    browser.wait("incoming confirmed", seconds=20)
    hears(browser, 620, 6)
    call.report(20)
    browser.wait("incoming ended")
    bench.heard(bench.decode(heard, 8000), 440, 620, 1.5)


@test(seconds=90, alone=True)
def webrtc_and_a_phone(bench):
    """a page calls a SIP phone with plain RTP; it puts it on hold and takes it back"""
    gateway, browser = with_page(bench, ["opus", "pcmu"])
    bob = bench.baresip("bob", gateway)
    browser.run("window.call('bob')")
    browser.wait("outgoing confirmed", seconds=20)
    hears(browser, 620)
    browser.run("window.session.hold()")
    time.sleep(2)
    browser.run("window.session.unhold()")
    time.sleep(1)
    hears(browser, 620)
    bob.hangup()
    browser.wait("outgoing ended")
    # It records anew after each pause.
    bench.heard(bob.dump, 440, 620, 0.8)
