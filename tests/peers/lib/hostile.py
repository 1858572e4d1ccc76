#!/usr/bin/env python3
"""Misbehaves toward a gateway, from addresses of 127.0.0.0/8 other than 127.0.0.1.

  hostile.py garbage|half|slow|many HOST PORT [SECONDS]      TCP
  hostile.py udp HOST PORT [SECONDS]                         UDP datagrams from very many sources
  hostile.py rtp HOST PORT [SECONDS]                         RTP that looks right, of strangers

garbage: random bytes on 200 connections, again and again. half: connections that stop within their
handshake. slow: 200 connections that say one right byte a second. many: 10,000 connections, held.
Prints how many connections were made, refused and ended by the other side.
"""
import random
import selectors
import socket
import struct
import sys
import time

RTMP_HELLO = b"\3" + bytes(8) + bytes(1528)
SIP_HELLO = (b"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.2;branch=z9hG4bKslow\r\nMax-Forwards: 70\r\n"
             b"From: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: slow\r\nCSeq: 1 OPTIONS\r\n")
MADE, REFUSED, ENDED = 0, 0, 0


def address(number):
    return "127.0.%d.%d" % (1 + number // 200, 2 + number % 200)


def connect(host, port, number):
    global MADE, REFUSED
    sock = socket.socket()
    sock.setblocking(False)
    # Otherwise the port is chosen before the destination is known, and runs out.
    sock.setsockopt(socket.SOL_IP, 24, 1)    # IP_BIND_ADDRESS_NO_PORT
    try:
        sock.bind((address(number), 0))
        code = sock.connect_ex((host, port))
        if code not in (0, 115):
            REFUSED += 1
            sock.close()
            return None
    except OSError:
        REFUSED += 1
        sock.close()
        return None
    MADE += 1
    return sock


class Crowd:
    """Connections kept up to a number; `speak` says what each sends when it may."""

    def __init__(self, host, port, count, per_address, speak, every, reopen):
        self.host, self.port, self.count, self.per_address = host, port, count, per_address
        self.speak, self.every, self.reopen = speak, every, reopen
        self.selector = selectors.DefaultSelector()
        self.socks, self.opened = {}, 0

    def run(self, seconds):
        global ENDED
        end, next_word = time.monotonic() + seconds, 0.0
        while time.monotonic() < end:
            for _ in range(40 if self.reopen else 200):
                if len(self.socks) >= self.count or (not self.reopen and self.opened >= self.count):
                    break
                sock = connect(self.host, self.port, self.opened // self.per_address % 200)
                self.opened += 1
                if sock:
                    self.socks[sock] = 0
                    self.selector.register(sock, selectors.EVENT_READ)
            for key, _ in self.selector.select(0.02):
                try:
                    data = key.fileobj.recv(65536)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    ENDED += 1
                    self.drop(key.fileobj)
            now = time.monotonic()
            if now >= next_word:
                next_word = now + self.every
                for sock in list(self.socks):
                    said = self.speak(self.socks[sock])
                    self.socks[sock] += 1
                    if said:
                        try:
                            sock.send(said)
                        except BlockingIOError:
                            pass
                        except OSError:
                            self.drop(sock)

    def drop(self, sock):
        if self.socks.pop(sock, None) is not None:
            self.selector.unregister(sock)
            sock.close()


def udp(host, port, seconds):
    """Garbage and half messages from a thousand sources, ten thousand of them in all, again and again."""
    global MADE
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        socks = []
        for _ in range(250):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address(number % 20000 // 100), 0))
            socks.append(sock)
            number += 1
        for sock in socks:
            for data in (random.randbytes(random.randrange(1, 1400)), SIP_HELLO[:random.randrange(20, 200)],
                         b"\r\n\r\n"):
                try:
                    sock.sendto(data, (host, port))
                except OSError:
                    pass
            MADE += 1
            sock.close()
        time.sleep(0.02)


def rtp(host, port, seconds):
    """Strangers' RTP and garbage to a port in use and its neighbour."""
    global MADE
    end = time.monotonic() + seconds
    sequence = 0
    socks = []
    for number in range(50):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address(number), 0))
        socks.append((sock, random.getrandbits(32)))
    while time.monotonic() < end:
        for sock, ssrc in socks:
            packet = struct.pack("!BBHII", 0x80, 0, sequence & 0xffff, sequence * 160 & 0xffffffff, ssrc)
            try:
                sock.sendto(packet + bytes([0x10]) * 160, (host, port))
                sock.sendto(random.randbytes(random.randrange(1, 300)), (host, port))
                sock.sendto(random.randbytes(random.randrange(1, 300)), (host, port + 1))
            except OSError:
                pass
            MADE += 1
        sequence += 1
        time.sleep(0.02)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    how, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 8.0
    hello = SIP_HELLO if "sip" in sys.argv[5:] else RTMP_HELLO
    if how == "garbage":
        Crowd(host, port, 200, 20, lambda n: random.randbytes(700), 0.1, True).run(seconds)
    elif how == "half":
        Crowd(host, port, 400, 20, lambda n: hello[:random.randrange(1, len(hello))] if n == 0 else b"", 0.1,
              False).run(seconds)
    elif how == "slow":
        Crowd(host, port, 200, 20, lambda n: hello[n:n + 1], 1.0, True).run(seconds)
    elif how == "many":
        Crowd(host, port, 10000, 200, lambda n: hello[:1] if n == 0 else b"", 1.0, False).run(seconds)
    elif how == "udp":
        udp(host, port, seconds)
    elif how == "rtp":
        rtp(host, port, seconds)
    else:
        sys.exit(__doc__)
    print("%d made, %d refused, %d ended by the other side" % (MADE, REFUSED, ENDED))


if __name__ == "__main__":
    main()
