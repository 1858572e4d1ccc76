"""SIP over WebSocket: a phone as a web page would have it."""
import ssl
import time

from lib.certs import Authority
from lib.harness import check, test, until, wait_tcp
from lib.websocket import WebPhone, WebSocket


def with_websocket(bench):
    certificate, key = (authority := Authority(bench.folder)).issue("gateway")
    ws, wss = bench.ports(), bench.ports()
    gateway = bench.gateway({
        "sip": {"websocket": ["127.0.0.1:%d" % ws], "websocket_tls": ["127.0.0.1:%d" % wss], "tls": [],
                "websocket_origins": ["https://phone.example"]},
        # This phone is no browser: it speaks plain RTP.
        "media": {"srtp": "off"}, "rtmp": {"tls": []}, "tls": {"certificate": certificate, "key": key}}, users=["alice"])
    wait_tcp(ws, alive=gateway.running)
    gateway.ws, gateway.wss, gateway.authority = ws, wss, authority
    return gateway


def calls_and_is_called(bench, gateway, phone):
    check(phone.register() == 200, "not registered")
    phone.call("echo")
    time.sleep(3)
    phone.hang_up()
    echoed = {frame for frame in phone.received if len(set(frame)) == 1}
    check(len(phone.received) > 100 and len(echoed) > 90, "%d frames came back" % len(phone.received))
    call = bench.call(gateway, "alice", "--user", "alice", "--password", "alicepw", "--duration", 4, "--codec", "pcmu")
    before = len(phone.received)
    phone.take()
    phone.wait_bye()
    call.report(15)
    check(len(phone.received) - before > 100, "%d frames heard" % (len(phone.received) - before))
    # The binding goes with the connection.
    phone.socket.close()
    until(lambda: "registration changed" in gateway.log() and "contacts=0" in gateway.log(), 5, "the binding stays")


@test(seconds=60)
def websocket_phone(bench):
    """a phone on ws:// registers with a password, calls the echo, is called by a Flash client, and leaves"""
    gateway = with_websocket(bench)
    calls_and_is_called(bench, gateway, WebPhone("alice", "alicepw", "test.invalid", port=gateway.ws,
                                                 origin="https://phone.example"))


@test(seconds=60)
def websocket_phone_secure(bench):
    """the same on wss://"""
    gateway = with_websocket(bench)
    trust = ssl.create_default_context(cafile=gateway.authority.ca)
    calls_and_is_called(bench, gateway, WebPhone("alice", "alicepw", "test.invalid", via="WSS", port=gateway.wss,
                                                 tls=trust))


@test(seconds=30)
def websocket_refused(bench):
    """pages of other origins and other subprotocols are refused; garbage closes its own connection only"""
    gateway = with_websocket(bench)
    check(WebSocket(gateway.ws, origin="https://evil.example").status == 403, "a foreign page was let in")
    check(WebSocket(gateway.ws, protocol="mqtt").status == 400, "another protocol was let in")
    phone = WebPhone("alice", "alicepw", "test.invalid", port=gateway.ws)
    bad = WebSocket(gateway.ws)
    bad.sock.sendall(b"\xff" * 5000)
    bad = WebSocket(gateway.ws)
    bad.send("INVITE sip:x@y SIP/2.0\r\nbroken")
    check(phone.register() == 200, "not registered")
    phone.socket.send("\r\n\r\n")
    check(phone.socket.receive() == b"\r\n", "no pong")
