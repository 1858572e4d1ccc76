"""A SIP phone in a WebSocket (RFC 6455, RFC 7118), as a page's would be: registers, calls, says G.711 over plain RTP.
Standard library only."""
import base64
import hashlib
import os
import re
import socket
import struct
import threading
import time

from lib.harness import check
from lib.phone import FRAME, Message


class WebSocket:
    def __init__(self, port, origin=None, protocol="sip", tls=None):
        self.sock = socket.create_connection(("127.0.0.1", port), 5)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="127.0.0.1")
        key = base64.b64encode(os.urandom(16)).decode()
        fields = ["GET / HTTP/1.1", "Host: 127.0.0.1:%d" % port, "Upgrade: websocket", "Connection: Upgrade",
                  "Sec-WebSocket-Key: " + key, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: " + protocol]
        fields += ["Origin: " + origin] if origin else []
        self.sock.sendall(("\r\n".join(fields) + "\r\n\r\n").encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            more = self.sock.recv(4096)
            check(more, "closed before it answered: %r" % self.data)
            self.data += more
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        if self.status == 101:
            accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
            check(accept in head and b"sip" in head, "%r" % head)

    def send(self, text, kind=1):
        data, mask = text.encode(), os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack("!BH", 0x80 | 126, len(data))
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.sock.sendall(bytes([0x80 | kind]) + size + mask + masked)

    def need(self, count):
        while len(self.data) < count:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError("closed")
            self.data += more
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def receive(self, seconds=5):
        """The next message, as bytes; pings are answered."""
        self.sock.settimeout(seconds)
        while True:
            first, size = self.need(2)
            if size == 126:
                size = struct.unpack("!H", self.need(2))[0]
            data = self.need(size)
            if first & 15 == 9:
                self.send(data.decode(), 10)
            elif first & 15 in (1, 2):
                return data
            else:
                check(first & 15 == 10, "frame %d" % (first & 15))

    def close(self):
        self.sock.close()


class WebPhone:
    def __init__(self, name, password, domain, via="WS", **options):
        self.socket = WebSocket(**options)
        self.name, self.password, self.domain, self.via = name, password, domain, via
        self.host, self.sequence, self.call_id = "%s.invalid" % os.urandom(5).hex(), 0, os.urandom(8).hex()
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind(("127.0.0.1", 0))
        self.received = []

    def contact(self):
        return "<sip:%s@%s;transport=ws>" % (self.name, self.host)

    def request(self, method, uri, to, extra="", body="", sequence=None):
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        self.socket.send(
            "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n"
            "From: <sip:%s@%s>;tag=w\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: %s\r\n%s"
            "Content-Length: %d\r\n\r\n%s" % (method, uri, self.via, self.host, os.urandom(6).hex(), self.name,
                                              self.domain, to, self.call_id, sequence, method, self.contact(), extra,
                                              len(body), body))

    def final(self):
        while True:
            message = Message(self.socket.receive())
            if message.status and message.status >= 200:
                return message

    def with_answer(self, method, uri, to, extra="", body=""):
        """Sends with the answer to the challenge that comes."""
        self.request(method, uri, to, extra, body)
        refusal = self.final()
        if refusal.status not in (401, 407):
            return refusal
        if method == "INVITE":
            self.request("ACK", uri, refusal.get("to"), sequence=self.sequence)
        proxy = refusal.status == 407
        given = dict(re.findall(r'(\w+)="?([^",]+)', refusal.get("proxy-authenticate" if proxy else "www-authenticate")))

        def md5(*parts):
            return hashlib.md5(":".join(parts).encode()).hexdigest()
        ha1, ha2 = md5(self.name, given["realm"], self.password), md5(method, uri)
        answer = md5(ha1, given["nonce"], "00000001", "c", "auth", ha2)
        extra += ('%s: Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", qop=auth, nc=00000001, '
                  'cnonce="c", algorithm=MD5\r\n' % ("Proxy-Authorization" if proxy else "Authorization", self.name,
                                                     given["realm"], given["nonce"], uri, answer))
        self.request(method, uri, to, extra, body)
        return self.final()

    def register(self):
        uri = "sip:" + self.domain
        return self.with_answer("REGISTER", uri, "<sip:%s@%s>" % (self.name, self.domain), "Expires: 300\r\n").status

    def sdp(self):
        return ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                "m=audio %d RTP/AVP 0\r\n" % self.rtp.getsockname()[1])

    def call(self, user):
        """Calls and is answered; RTP goes both ways from then on."""
        uri = "sip:%s@%s" % (user, self.domain)
        answer = self.with_answer("INVITE", uri, "<%s>" % uri, "Content-Type: application/sdp\r\n", self.sdp())
        check(answer.status == 200, answer.first)
        target = re.search("<(.*)>", answer.get("contact")).group(1)
        check("transport=ws" in target, target)
        self.request("ACK", target, answer.get("to"), sequence=self.sequence)
        self.answered, self.target = answer, target
        self.talk(answer.body)

    def take(self):
        """Waits for a call and answers it."""
        while True:
            invite = Message(self.socket.receive(15))
            if invite.method == "INVITE":
                break
        check(self.host in invite.first, invite.first)
        check(invite.get("via").startswith("SIP/2.0/" + self.via), invite.get("via"))
        self.reply(invite, 200, self.sdp())
        self.talk(invite.body)

    def reply(self, request, status, body=""):
        lines = ["SIP/2.0 %d OK" % status]
        lines += ["Via: " + via for via in request.all("via")]
        lines += ["From: " + request.get("from"), "To: " + request.get("to") + (";tag=w" if "tag=" not in request.get("to") else ""),
                  "Call-ID: " + request.get("call-id"), "CSeq: " + request.get("cseq"), "Contact: " + self.contact()]
        lines += ["Content-Type: application/sdp"] if body else []
        self.socket.send("\r\n".join(lines + ["Content-Length: %d" % len(body), "", body]))

    def talk(self, sdp):
        to = ("127.0.0.1", int(re.search(r"m=audio (\d+)", sdp).group(1)))
        self.talking = True

        def say():
            for number in range(500):
                if not self.talking:
                    return
                head = struct.pack("!BBHII", 0x80, 0, number, number * FRAME, 7)
                self.rtp.sendto(head + bytes([number % 251]) * FRAME, to)
                time.sleep(0.02)

        def hear():
            self.rtp.settimeout(0.5)
            while self.talking:
                try:
                    self.received.append(self.rtp.recv(2048)[12:])
                except OSError:
                    pass
        for task in (say, hear):
            threading.Thread(target=task, daemon=True).start()

    def hang_up(self):
        self.talking = False
        self.request("BYE", self.target, self.answered.get("to"))
        check(self.final().status == 200, "BYE")

    def wait_bye(self):
        while True:
            message = Message(self.socket.receive(15))
            if message.method == "BYE":
                self.talking = False
                self.reply(message, 200)
                return
