"""A TCP proxy that can stop passing bytes, as a stalled network does."""
import socket
import threading


class Proxy:
    def __init__(self, bench, to_port):
        self.to_port, self.flowing = to_port, threading.Event()
        self.flowing.set()
        self.listener = socket.socket()
        self.port = bench.ports()
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(8)
        bench.cleanups.append(self.listener.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def pause(self):
        self.flowing.clear()

    def resume(self):
        self.flowing.set()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket()
            for sock in (near, far):
                # Small buffers, so that a pause is felt at once on both sides.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far.connect(("127.0.0.1", self.to_port))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source, target):
        try:
            while True:
                self.flowing.wait()
                data = source.recv(2048)
                self.flowing.wait()
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
        except OSError:
            for sock in (source, target):
                sock.close()
