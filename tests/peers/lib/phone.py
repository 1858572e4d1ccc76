"""A SIP phone for tests: answers calls with G.711 and knows every byte that went each way.

It says a sequence of payload bytes or sends everything back (echo), over a network that it can make
bad. It registers with digest on behalf of others as well. Standard library only; UDP and IPv4.
"""
import hashlib
import random
import re
import socket
import struct
import threading
import time

from lib.harness import check, until

FRAME = 160


class Trouble:
    """A bad network, the same for the same seed: loss, reordering and duplication as parts of 1."""

    def __init__(self, loss=0.0, reorder=0.0, duplicate=0.0, seed=1):
        self.loss, self.reorder, self.duplicate = loss, reorder, duplicate
        self.random, self.on, self.held, self.lost, self.passed = random.Random(seed), False, None, 0, 0

    def through(self, packet):
        """The packets that arrive when this one is sent."""
        if not self.on:
            packets = ([self.held] if self.held else []) + [packet]
            self.held = None
            return packets
        if self.random.random() < self.loss:
            self.lost += 1
            return []
        self.passed += 1
        packets = [packet] * (2 if self.random.random() < self.duplicate else 1)
        if self.held:
            packets.append(self.held)
            self.held = None
        elif self.random.random() < self.reorder:
            self.held = packets.pop()
        return packets


def headers(text):
    found = []
    for line in text.split("\r\n\r\n")[0].split("\r\n")[1:]:
        name, _, value = line.partition(":")
        found.append((name.strip().lower(), value.strip()))
    return found


COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type", "l": "content-length"}


class Message:
    def __init__(self, data):
        self.text = data.decode("utf-8", "replace")
        self.first = self.text.split("\r\n")[0]
        self.headers = [(COMPACT.get(name, name), value) for name, value in headers(self.text)]
        self.body = self.text.partition("\r\n\r\n")[2]
        self.status = int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else None
        self.method = None if self.status else self.first.split()[0]

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def get(self, name):
        return (self.all(name) or [""])[0]


class Leg:
    """One call."""

    def __init__(self, invite, peer):
        self.invite, self.peer = invite, peer
        self.tag = "p%08x" % random.getrandbits(32)
        self.acked = self.ended = False
        self.ended_by_peer = False
        self.received = []      # (sequence, timestamp, payload type, marker, payload, arrival)
        self.rtp_to = None      # where its SDP says
        self.rtp_from = None    # where it sends from
        self.sent = 0
        self.cseq = 1


class Phone:
    def __init__(self, bench, play=b"", echo=False, payload_type=0, codec="PCMU/8000", status=200,
                 ring=0.1, hang_up_after=None, inbound=None, outbound=None, padding=0xff):
        self.play, self.echo, self.payload_type, self.codec = play, echo, payload_type, codec
        self.status, self.ring, self.hang_up_after = status, ring, hang_up_after
        self.inbound, self.outbound, self.padding = inbound or Trouble(), outbound or Trouble(), padding
        self.port, self.rtp_port = bench.ports(), bench.ports(2)
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind(("127.0.0.1", self.port))
        self.rtp.bind(("127.0.0.1", self.rtp_port))
        self.legs, self.log, self.running = [], [], True
        self.lock = threading.Lock()
        self.responses = []
        self.ssrc = random.getrandbits(32)
        bench.cleanups.append(self.close)
        self.log_file = open(bench.path(bench.unique("phone") + ".log"), "w")
        for work in (self._sip_loop, self._rtp_loop, self._send_loop):
            threading.Thread(target=work, daemon=True).start()

    def uri(self, user="phone"):
        return "sip:%s@127.0.0.1:%d" % (user, self.port)

    def close(self):
        self.running = False
        for sock in (self.sip, self.rtp):
            try:
                # Wakes the thread that reads it; without that the port stays taken.
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def leg(self, seconds=10.0):
        """The newest call, when there is one that was answered and acknowledged."""
        until(lambda: self.legs and self.legs[-1].acked, seconds, "the phone was not called")
        return self.legs[-1]

    def wait_ended(self, seconds=10.0):
        until(lambda: self.legs and self.legs[-1].ended, seconds, "the phone's call did not end")

    # ---- SIP

    def _send(self, text, to):
        self.log_file.write("%.3f > %s\n%s\n" % (time.time(), to, text))
        self.log_file.flush()
        self.sip.sendto(text.encode(), to)

    def _sip_loop(self):
        while self.running:
            try:
                data, source = self.sip.recvfrom(65536)
            except OSError:
                return
            if not data.strip():
                continue
            message = Message(data)
            self.log_file.write("%.3f < %s\n%s\n" % (time.time(), source, message.text))
            self.log_file.flush()
            if message.status:
                self.responses.append(message)
            else:
                self._request(message, source)

    def _reply(self, request, source, status, tag="", body="", extra=""):
        vias = "".join("Via: %s\r\n" % via for via in request.all("via"))
        routes = "".join("Record-Route: %s\r\n" % route for route in request.all("record-route"))
        to = request.get("to")
        if tag and ";tag=" not in to:
            to += ";tag=" + tag
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self._send("SIP/2.0 %s\r\n%s%sFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: <%s>\r\n%s"
                   "%sContent-Length: %d\r\n\r\n%s" % (
                       status, vias, routes, request.get("from"), to, request.get("call-id"),
                       request.get("cseq"), self.uri(), extra, kind, len(body), body), source)

    def _sdp(self):
        return ("v=0\r\no=phone 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                "m=audio %d RTP/AVP %d\r\na=rtpmap:%d %s\r\na=ptime:20\r\na=sendrecv\r\n" % (
                    self.rtp_port, self.payload_type, self.payload_type, self.codec))

    def _find(self, message):
        for leg in self.legs:
            if leg.invite.get("call-id") == message.get("call-id"):
                return leg
        return None

    def _request(self, message, source):
        leg = self._find(message)
        if message.method == "INVITE":
            if leg and message.get("cseq") == leg.invite.get("cseq"):
                return
            if leg:
                self._take_sdp(leg, message)
                self._reply(message, source, "200 OK", leg.tag, self._sdp())
                return
            leg = Leg(message, source)
            self._take_sdp(leg, message)
            self.legs.append(leg)
            threading.Thread(target=self._answer, args=(leg, message, source), daemon=True).start()
        elif message.method == "ACK":
            if leg:
                leg.acked = True
        elif message.method == "BYE":
            if leg:
                leg.ended = leg.ended_by_peer = True
            self._reply(message, source, "200 OK" if leg else "481 No such call", leg.tag if leg else "x")
        elif message.method == "CANCEL":
            self._reply(message, source, "200 OK", leg.tag if leg else "x")
            if leg and not leg.acked:
                leg.ended = leg.ended_by_peer = True
                self._reply(leg.invite, source, "487 Request Terminated", leg.tag)
        else:
            self._reply(message, source, "200 OK", leg.tag if leg else "x")

    def _answer(self, leg, invite, source):
        if self.ring is not None:
            self._reply(invite, source, "180 Ringing", leg.tag)
            time.sleep(self.ring)
        if self.status is None:
            return
        wait = 0.5
        while not leg.acked and not leg.ended and wait < 8:
            ok = self.status == 200
            self._reply(invite, source, "%d %s" % (self.status, "OK" if ok else "No"), leg.tag,
                        self._sdp() if ok else "")
            until_then = time.monotonic() + wait
            while time.monotonic() < until_then and not leg.acked and not leg.ended:
                time.sleep(0.02)
            wait *= 2
        if self.status != 200:
            leg.ended = True
        elif self.hang_up_after is not None:
            time.sleep(self.hang_up_after)
            self.hang_up(leg)

    def _take_sdp(self, leg, message):
        port = re.search(r"^m=audio (\d+)", message.body, re.M)
        host = re.search(r"^c=IN IP4 (\S+)", message.body, re.M)
        if port and host:
            leg.rtp_to = (host.group(1), int(port.group(1)))

    def hang_up(self, leg=None):
        leg = leg or self.legs[-1]
        if leg.ended:
            return
        target = re.search(r"<?(sip:[^>;]+[^>]*)>?", leg.invite.get("contact")).group(1)
        routes = "".join("Route: %s\r\n" % route for route in leg.invite.all("record-route"))
        leg.cseq += 1
        text = ("BYE %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;rport;branch=z9hG4bK%08x\r\nMax-Forwards: 70\r\n"
                "%sFrom: %s;tag=%s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d BYE\r\nContent-Length: 0\r\n\r\n" % (
                    target, self.port, random.getrandbits(32), routes, leg.invite.get("to"), leg.tag,
                    leg.invite.get("from"), leg.invite.get("call-id"), leg.cseq))
        self._send(text, leg.peer)
        leg.ended = True
        until(lambda: any(r.status == 200 and r.get("cseq").endswith("BYE") and
                          r.get("call-id") == leg.invite.get("call-id") for r in self.responses), 5,
              "no 200 to the phone's BYE")

    def register(self, gateway, user, password, contact=None, expires=120, domain="test.invalid"):
        """Registers contact (its own by default) as user; returns the final status."""
        call_id = "r%08x" % random.getrandbits(32)
        proof = ""
        for cseq in (1, 2):
            uri = "sip:" + domain
            branch = "z9hG4bK%08x" % random.getrandbits(32)
            aor = "sip:%s@%s" % (user, domain)
            self._send("REGISTER %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;rport;branch=%s\r\nMax-Forwards: 70\r\n"
                       "From: <%s>;tag=r\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: %d REGISTER\r\nContact: <%s>\r\n"
                       "Expires: %d\r\n%sContent-Length: 0\r\n\r\n" % (
                           uri, self.port, branch, aor, aor, call_id, cseq, contact or self.uri(user), expires,
                           proof), ("127.0.0.1", gateway.sip))

            def answer():
                for response in self.responses:
                    if branch in response.get("via") and response.status >= 200:
                        return response
                return None
            response = until(answer, 5, "no answer to REGISTER")
            if response.status not in (401, 407) or cseq == 2:
                return response.status
            proof = self._proof(response, user, password, "REGISTER", uri)
        return response.status

    @staticmethod
    def _proof(response, user, password, method, uri):
        # Several challenges, best first (RFC 8760): take the MD5 one, which every peer knows.
        for challenge in response.all("www-authenticate") + response.all("proxy-authenticate"):
            values = {k.lower(): v.strip('"') for k, v in re.findall(r'(\w+)=("[^"]*"|[^\s,]+)', challenge)}
            algorithm = values.get("algorithm", "MD5").upper()
            if algorithm in ("MD5", "SHA-256"):
                digest = hashlib.md5 if algorithm == "MD5" else hashlib.sha256
                if algorithm == "MD5":
                    break
        def hashed(text):
            return digest(text.encode()).hexdigest()
        ha1 = hashed("%s:%s:%s" % (user, values["realm"], password))
        ha2 = hashed("%s:%s" % (method, uri))
        more = ""
        if "qop" in values:
            more = ', qop=auth, nc=00000001, cnonce="abc"'
            answer = hashed("%s:%s:00000001:abc:auth:%s" % (ha1, values["nonce"], ha2))
        else:
            answer = hashed("%s:%s:%s" % (ha1, values["nonce"], ha2))
        if "opaque" in values:
            more += ', opaque="%s"' % values["opaque"]
        name = "Authorization" if response.status == 401 else "Proxy-Authorization"
        return ('%s: Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=%s%s\r\n' % (
            name, user, values["realm"], values["nonce"], uri, answer, algorithm, more))

    # ---- RTP

    def _rtp_loop(self):
        while self.running:
            try:
                data, source = self.rtp.recvfrom(4096)
            except OSError:
                return
            now = time.monotonic()
            for packet in self.inbound.through(data):
                self._take(packet, source, now)

    def _take(self, data, source, now):
        if len(data) < 12 or data[0] >> 6 != 2 or not self.legs:
            return
        first, second, sequence, timestamp, _ssrc = struct.unpack("!BBHII", data[:12])
        start = 12 + 4 * (first & 15)
        if first & 0x10:
            start += 4 + 4 * struct.unpack("!H", data[start + 2:start + 4])[0]
        payload = data[start:]
        leg = self.legs[-1]
        leg.rtp_from = source
        leg.received.append((sequence, timestamp, second & 127, second >> 7, payload, now))
        if self.echo and leg.acked and not leg.ended and second & 127 == self.payload_type:
            self._send_rtp(leg, data[:8] + struct.pack("!I", self.ssrc) + payload)

    def _send_rtp(self, leg, packet):
        for each in self.outbound.through(packet):
            try:
                self.rtp.sendto(each, leg.rtp_to)
            except OSError:
                return

    def _send_loop(self):
        """Says self.play, then padding, in frames of 20 ms from the ACK on."""
        started = None
        while self.running:
            leg = self.legs[-1] if self.legs else None
            if self.echo or not leg or not leg.acked or leg.ended or not leg.rtp_to:
                started = None
                time.sleep(0.01)
                continue
            now = time.monotonic()
            if started is None or started[0] is not leg:
                started = (leg, now)
            due = started[1] + leg.sent * 0.02
            if now < due:
                time.sleep(min(due - now, 0.02))
                continue
            payload = self.play[leg.sent * FRAME:(leg.sent + 1) * FRAME]
            payload += bytes([self.padding]) * (FRAME - len(payload))
            head = struct.pack("!BBHII", 0x80, self.payload_type | (0x80 if leg.sent == 0 else 0),
                               leg.sent & 0xffff, leg.sent * FRAME, self.ssrc)
            self._send_rtp(leg, head + payload)
            leg.sent += 1


def register(bench, gateway, user, password):
    """Registers a contact and leaves its port to somebody else: returns it."""
    phone = Phone(bench)
    status = phone.register(gateway, user, password)
    check(status == 200, "registering %s: %d" % (user, status))
    phone.close()
    return phone.port


def in_order(leg, payload_type=0):
    """What a leg received as one string of bytes, in the order of sending, without copies."""
    seen, first, out = set(), None, []
    for sequence, _timestamp, kind, _marker, payload, _arrival in leg.received:
        if kind != payload_type:
            continue
        if first is None:
            first = sequence
        place = (sequence - first + 0x8000 & 0xffff) - 0x8000
        # Extend the 16-bit number near the newest place.
        newest = max(seen, default=0)
        place += round((newest - place) / 65536) * 65536
        if place not in seen:
            seen.add(place)
            out.append((place, payload))
    return [payload for _, payload in sorted(out)]
