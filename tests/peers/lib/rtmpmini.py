"""A small RTMP client for tests: connects, publishes and plays G.711, sees every message.

Made to measure and to misbehave: it stamps each frame that it publishes, finds the stamps in what it
plays, and can stop reading or sending for a while. Standard library only.
"""
import random
import socket
import struct
import threading
import time

from lib.harness import Failure, check, until

FRAME = 160    # bytes of 8 kHz G.711 in 20 ms


# ---- AMF0

def number(value):
    return b"\0" + struct.pack("!d", value)


def string(value):
    raw = value.encode()
    return b"\2" + struct.pack("!H", len(raw)) + raw


def obj(fields):
    out = b"\3"
    for key, value in fields.items():
        out += struct.pack("!H", len(key)) + key.encode() + encode(value)
    return out + b"\0\0\x09"


def encode(value):
    if value is None:
        return b"\5"
    if isinstance(value, bool):
        return b"\1" + bytes([value])
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, str):
        return string(value)
    return obj(value)


def decode(data, at=0):
    """(value, where it ends)"""
    kind, at = data[at], at + 1
    if kind == 0:
        return struct.unpack("!d", data[at:at + 8])[0], at + 8
    if kind == 1:
        return bool(data[at]), at + 1
    if kind == 2:
        size = struct.unpack("!H", data[at:at + 2])[0]
        return data[at + 2:at + 2 + size].decode("utf-8", "replace"), at + 2 + size
    if kind in (3, 8):
        if kind == 8:
            at += 4
        fields = {}
        while True:
            size = struct.unpack("!H", data[at:at + 2])[0]
            key, at = data[at + 2:at + 2 + size].decode(), at + 2 + size
            if not size and data[at] == 9:
                return fields, at + 1
            fields[key], at = decode(data, at)
    if kind in (5, 6):
        return None, at
    if kind == 10:
        count, at, items = struct.unpack("!I", data[at:at + 4])[0], at + 4, []
        for _ in range(count):
            item, at = decode(data, at)
            items.append(item)
        return items, at
    raise Failure("AMF0 type %d" % kind)


def decode_all(data):
    values, at = [], 0
    while at < len(data):
        value, at = decode(data, at)
        values.append(value)
    return values


class Client:
    """One connection. Events: ("status", stream, info), ("reply", name, values), ("event", type, stream)."""

    def __init__(self, port, app="call", host="127.0.0.1", source=None, receive_buffer=None, connect=True,
                 properties=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(10)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app, self.url = app, "rtmp://%s:%d/%s" % (host, port, app)
        self.events, self.audio, self.on_audio = [], [], None
        self.chunk_in, self.chunk_out, self.window = 128, 128, 0
        self.received = self.acknowledged = 0
        self.reading = threading.Event()
        self.reading.set()
        self.closed = None
        self.transaction = 0
        self.lock = threading.Lock()
        self._handshake()
        self.sock.settimeout(None)
        threading.Thread(target=self._read_loop, daemon=True).start()
        if connect:
            self.connect(properties)

    def _exactly(self, count):
        out = b""
        while len(out) < count:
            self.reading.wait()
            data = self.sock.recv(count - len(out))
            if not data:
                raise ConnectionError("closed by the gateway")
            out += data
        self.received += count
        return out

    def _handshake(self):
        c1 = struct.pack("!II", 0, 0) + random.randbytes(1528)
        self.sock.sendall(b"\3" + c1)
        s0s1 = self._exactly(1537)
        check(s0s1[0] == 3, "S0 is %d" % s0s1[0])
        self.sock.sendall(s0s1[1:])
        self._exactly(1536)

    def send(self, kind, payload, stream=0, timestamp=0, channel=3):
        """One message with a full header."""
        check(timestamp < 0xffffff, "timestamps of more than three bytes are not written here")
        head = bytes([channel]) + timestamp.to_bytes(3, "big") + len(payload).to_bytes(3, "big") + \
            bytes([kind]) + struct.pack("<I", stream)
        out = head + payload[:self.chunk_out]
        for at in range(self.chunk_out, len(payload), self.chunk_out):
            out += bytes([0xc0 | channel]) + payload[at:at + self.chunk_out]
        with self.lock:
            self.sock.sendall(out)

    def command(self, name, *values, stream=0):
        self.transaction += 1
        self.send(20, string(name) + number(self.transaction) + b"".join(encode(v) for v in values), stream)
        return self.transaction

    def _read_loop(self):
        channels = {}
        try:
            while True:
                first = self._exactly(1)[0]
                form, channel = first >> 6, first & 63
                if channel == 0:
                    channel = 64 + self._exactly(1)[0]
                elif channel == 1:
                    low, high = self._exactly(2)
                    channel = 64 + low + 256 * high
                state = channels.setdefault(channel, dict(time=0, delta=0, size=0, kind=0, stream=0, data=b"",
                                                          extended=False))
                if form < 3:
                    raw = self._exactly((11, 7, 3)[form])
                    stamp = int.from_bytes(raw[:3], "big")
                    state["extended"] = stamp == 0xffffff
                    if form < 2:
                        state["size"], state["kind"] = int.from_bytes(raw[3:6], "big"), raw[6]
                    if form == 0:
                        state["stream"] = struct.unpack("<I", raw[7:])[0]
                    if state["extended"]:
                        stamp = struct.unpack("!I", self._exactly(4))[0]
                    if not state["data"]:
                        state["delta"] = 0 if form == 0 else stamp
                        state["time"] = stamp if form == 0 else state["time"] + stamp
                else:
                    if state["extended"]:
                        self._exactly(4)
                    if not state["data"]:
                        state["time"] += state["delta"]
                state["data"] += self._exactly(min(self.chunk_in, state["size"] - len(state["data"])))
                if len(state["data"]) == state["size"]:
                    data, state["data"] = state["data"], b""
                    self._message(state["kind"], state["stream"], state["time"], data)
                if self.window and self.received - self.acknowledged > self.window // 2:
                    self.acknowledged = self.received
                    self.send(3, struct.pack("!I", self.received & 0xffffffff), channel=2)
        except (OSError, ConnectionError) as why:
            self.closed = str(why) or repr(why)

    def _message(self, kind, stream, timestamp, data):
        if kind == 1:
            self.chunk_in = struct.unpack("!I", data[:4])[0]
        elif kind == 5:
            self.window = struct.unpack("!I", data[:4])[0]
        elif kind == 4:
            event = struct.unpack("!H", data[:2])[0]
            if event == 6:
                self.send(4, b"\0\7" + data[2:6], channel=2)
            else:
                self.events.append(("event", event, struct.unpack("!I", data[2:6])[0]))
        elif kind == 8:
            if data:
                arrival = time.monotonic()
                self.audio.append((timestamp, data[0], data[1:], arrival))
                if self.on_audio:
                    self.on_audio(data, arrival)
        elif kind in (17, 20):
            values = decode_all(data[1:] if kind == 17 else data)
            if values[0] == "onStatus":
                self.events.append(("status", stream, values[-1]))
            else:
                self.events.append(("reply", values[0], values[1:]))

    # ---- what a client does

    def connect(self, properties=None):
        self.transaction = 0
        # G.711 and Speex are among the codecs it says it plays.
        fields = {"app": self.app, "flashVer": "LNX 11,2,202,0", "tcUrl": self.url, "fpad": False,
                  "capabilities": 15, "audioCodecs": 4071, "videoCodecs": 252, "videoFunction": 1}
        fields.update(properties or {})
        self.command("connect", fields)
        return self.reply(1)

    def reply(self, transaction, seconds=10.0):
        def there():
            for event in self.events:
                if event[0] == "reply" and event[1] in ("_result", "_error") and event[2][0] == transaction:
                    return event
            check(not self.closed, "connection lost: %s" % self.closed)
            return None
        event = until(there, seconds, "no reply to command %d" % transaction)
        check(event[1] == "_result", "command %d refused: %s" % (transaction, event[2]))
        return event[2]

    def create_stream(self):
        return int(self.reply(self.command("createStream", None))[-1])

    def publish(self, name, wait=True):
        stream = self.create_stream()
        self.command("publish", None, name, "live", stream=stream)
        if wait:
            self.status("NetStream.Publish.Start", stream)
        return stream

    def play(self, name, wait=True):
        stream = self.create_stream()
        self.command("play", None, name, -2000, stream=stream)
        if wait:
            self.status("NetStream.Play.Start", stream)
        return stream

    def codes(self, stream=None):
        return [e[2].get("code") for e in list(self.events) if e[0] == "status" and stream in (None, e[1])]

    def status(self, code, stream=None, seconds=10.0):
        """Waits for an onStatus whose code begins so; returns the information object."""
        def there():
            for event in list(self.events):
                if event[0] == "status" and stream in (None, event[1]) and \
                        str(event[2].get("code", "")).startswith(code):
                    return event[2]
            check(not self.closed, "connection lost: %s" % self.closed)
            return None
        return until(there, seconds, lambda: "no %s, only %s" % (code, self.codes()))

    def send_audio(self, stream, tag, payload, timestamp):
        self.send(8, bytes([tag]) + payload, stream, timestamp, channel=4)

    def delete_stream(self, stream):
        self.command("deleteStream", None, stream)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


PCMU = 0x82    # FLV audio tag: G.711 mu-law, 5.5 kHz bits unused
SYNC = bytes([0x80, 0x00, 0x81, 0x01, 0x80, 0x00])


def stamped(index):
    """A mu-law frame that carries its number: a loud edge, eight digits, a tone-like rest."""
    digits = bytes(0x90 | index >> 4 * n & 15 for n in range(7, -1, -1))
    rest = bytes(0xa0 | n * 7 % 16 for n in range(FRAME - len(SYNC) - len(digits)))
    return SYNC + digits + rest


class Meter:
    """Publishes stamped frames to a name and plays the same name: round-trip delay, frame by frame.

    .delays is a list of (when it came back, delay in seconds, number of the frame).
    """

    def __init__(self, client, name, player=None):
        self.client, self.player = client, player or client
        self.sent_at, self.delays, self.buffer = [], [], b""
        self.hold = self.ended = False
        self.player.on_audio = self._audio
        self.play_stream = self.player.play(name)
        self.stream = client.publish(name)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.started = time.monotonic()
        self.thread.start()

    def _run(self):
        """A frame each 20 ms; while held they pile up and then leave at once, as in a stalled socket."""
        held = []
        while not self.ended:
            index = len(self.sent_at)
            due = self.started + index * 0.02
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.sent_at.append(due)
            held.append(index)
            if self.hold:
                continue
            try:
                for each in held:
                    self.client.send_audio(self.stream, PCMU, stamped(each), each * 20)
            except OSError:
                return
            held = []

    def _audio(self, data, arrival):
        if data[0] >> 4 != 8:
            self.buffer = b""
            return
        self.buffer = (self.buffer + data[1:])[-4096:]
        while True:
            at = self.buffer.find(SYNC)
            if at < 0 or len(self.buffer) < at + len(SYNC) + 8:
                return
            digits = self.buffer[at + len(SYNC):at + len(SYNC) + 8]
            self.buffer = self.buffer[at + len(SYNC) + 8:]
            index = 0
            for digit in digits:
                if digit & 0xf0 != 0x90:
                    break
                index = index << 4 | digit & 15
            else:
                if index < len(self.sent_at):
                    self.delays.append((arrival, arrival - self.sent_at[index], index))

    def wait_first(self, seconds=10.0):
        until(lambda: self.delays, seconds, lambda: "nothing came back; %d messages, tags %s, statuses %s" % (
            len(self.player.audio), sorted({a[1] for a in self.player.audio}), self.client.codes()))

    def between(self, begin, end):
        """Delays of what came back in this time."""
        return [delay for when, delay, _ in list(self.delays) if begin <= when < end]

    def numbers(self):
        return [index for _, _, index in list(self.delays)]

    def stop(self):
        self.ended = True
        self.thread.join()


def median(values):
    check(values, "nothing was measured")
    return sorted(values)[len(values) // 2]


def settled(meter, since, floor, allowed=0.04):
    """How long after `since` delay was back at its floor for good (median of each 200 ms), in seconds."""
    last = max(when for when, _, _ in meter.delays)
    back, at = None, since
    while at + 0.2 <= last:
        piece = meter.between(at, at + 0.2)
        good = bool(piece) and median(piece) <= floor + allowed
        if good and back is None:
            back = at - since
        elif not good:
            back = None
        at += 0.1
    return back
