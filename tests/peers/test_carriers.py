"""The carriers of RTMP beside plain TCP: RTMPS, RTMPT, RTMFP, the policy file, and RTMPE's refusal."""
import shutil
import socket
import time

from lib.certs import Authority
from lib.harness import check, flashgate, test, until, wait_tcp


def secure(bench, **more):
    """A gateway with a certificate for 127.0.0.1; .rtmps and .rtmpt are its ports."""
    authority = Authority(bench.folder)
    certificate, key = authority.issue("gateway")
    rtmps, rtmpt, policy = bench.ports(), bench.ports(), bench.ports()
    rtmp = {"tls": ["127.0.0.1:%d" % rtmps], "rtmpt": ["127.0.0.1:%d" % rtmpt],
            "policy_listen": ["127.0.0.1:%d" % policy], "policy_domains": ["*.example.com"]}
    gateway = bench.gateway({"rtmp": rtmp, "sip": {"tls": []}, "tls": {"certificate": certificate, "key": key}, **more})
    for port in (rtmps, rtmpt, policy):
        wait_tcp(port, alive=gateway.running)
    gateway.rtmps, gateway.rtmpt, gateway.policy, gateway.authority = rtmps, rtmpt, policy, authority
    return gateway


def call(bench, url, *args, env=None, status=0):
    process = bench.start("flashgate-call", [flashgate(), "call", url, "echo", "--duration", 4, *args], env=env)
    process.finish(30, status=status)
    return process.log()


@test(seconds=60)
def carriers_rtmps_call(bench):
    """flashgate call over RTMPS: refused without trust, fine with it; a certificate changed under way is used"""
    gateway = secure(bench)
    url = "rtmps://127.0.0.1:%d/call" % gateway.rtmps
    check("no TLS" in call(bench, url, status=1), "an unknown authority was trusted")
    call(bench, url, "--insecure")
    trusting = {"SSL_CERT_FILE": gateway.authority.ca}
    check(", 0 lost" in call(bench, url, env=trusting), "frames were lost")
    # Another authority's certificate for the same name takes the place of the first.
    other = Authority(bench.path("other"))
    for new, old in zip(other.issue("gateway"), ("gateway.pem", "gateway.key")):
        shutil.copy(new, gateway.authority.path(old))
    call(bench, url, env=trusting, status=1)
    call(bench, url, env={"SSL_CERT_FILE": other.ca})
    gateway.wait_log("the TLS certificate was read anew")


@test(seconds=60)
def carriers_rtmfp_call(bench):
    """flashgate call over RTMFP (UDP): set-up, audio both ways, hang-up; what listens nowhere is said so"""
    gateway = bench.gateway()
    log = call(bench, "rtmfp://127.0.0.1:%d/call" % gateway.rtmp)
    check(", 0 lost" in log, "frames were lost")
    log = call(bench, "rtmfp://127.0.0.1:%d/call" % bench.ports(), status=1)
    check("no answer" in log, "a port without listener was taken for a gateway")


@test(seconds=60)
def carriers_rtmps_ffmpeg(bench):
    """ffmpeg publishes a tone and plays it, both over RTMPS (GnuTLS)"""
    gateway = secure(bench)
    url = "rtmps://127.0.0.1:%d/live/tone" % gateway.rtmps
    relay(bench, url, url)


@test(seconds=60)
def carriers_rtmpt_ffmpeg(bench):
    """ffmpeg publishes a tone over RTMPT, and plays it so"""
    gateway = secure(bench)
    url = "rtmpt://127.0.0.1:%d/live/tone" % gateway.rtmpt
    # By itself it sends ten frames at a time, more than a second of sound: too late to be fresh.
    relay(bench, url, url, "-rtmp_flush_interval", 1)


def relay(bench, to, at, *extra):
    publisher = bench.ffmpeg_publish(bench.media("tone-440-8.wav"), to, codec="pcm_mulaw", rate=8000,
                                     extra=["-t", 12, *extra])
    time.sleep(1.5)
    flv = bench.path("played.flv")
    player = bench.start("player", ["ffmpeg", "-nostdin", "-hide_banner", "-y", "-rtmp_live", "live", "-probesize", 32,
                                    "-analyzeduration", 0, "-i", at, "-c", "copy", "-flush_packets", 1, "-f", "flv", flv])
    time.sleep(6)
    player.end_player()
    publisher.interrupt()
    bench.heard(bench.decode(flv, 8000), 440, None, 3.5)


@test(seconds=60)
def carriers_rtmpt_librtmp(bench):
    """rtmpdump plays the tone target over RTMPT (librtmp)"""
    gateway = secure(bench)
    flv = bench.path("played.flv")
    player = bench.start("rtmpdump", ["rtmpdump", "-V", "--live", "-r", "rtmpt://127.0.0.1:%d/call" % gateway.rtmpt,
                                      "-y", "tone", "-o", flv])
    time.sleep(6)
    player.end_player()
    wav = bench.decode(flv, 16000)
    bench.note("%s" % bench.heard(wav, 440, None, 3.5))
    gateway.wait_log("client gone")


@test(seconds=30)
def carriers_rtmpt_hostile(bench):
    """RTMPT: foreign ids, wrong numbers, long bodies and half requests are refused; a repeated request is answered alike"""
    gateway = secure(bench)

    def ask(raw, keep=None):
        sock = keep or socket.create_connection(("127.0.0.1", gateway.rtmpt), 5)
        sock.settimeout(5)
        sock.sendall(raw)
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return 0, data
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length:")[1].split()[0])
        while len(body) < size:
            body += sock.recv(65536)
        return int(head.split()[1]), body

    def post(path, body=b"\0", **options):
        return ask(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body),
                   **options)

    check(post("/fcs/ident2")[0] == 404, "ident2")
    check(ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 404, "GET")
    status, name = post("/open/1")
    name = name.decode()
    check(status == 200 and name.endswith("\n") and len(name) > 16, "open: %d %r" % (status, name))
    name = name.strip()
    foreign = ("0" if name[0] != "0" else "1") + name[1:]
    check(post("/idle/%s/1" % foreign)[0] == 404, "a guessed id was taken")
    check(post("/idle/zz/1")[0] == 404, "a bad id was taken")
    # C0 and C1: the answer holds S0, S1 and S2, and the same again when asked again.
    hello = b"\3" + bytes(1536)
    first = post("/send/%s/0" % name, hello)
    check(first[0] == 200 and len(first[1]) == 1 + 1 + 2 * 1536, "handshake: %d, %d bytes" % (first[0], len(first[1])))
    check(post("/send/%s/0" % name, hello) == first, "a repeated request was answered otherwise")
    check(post("/idle/%s/5" % name)[0] == 404, "a gap was taken")
    check(post("/idle/%s/1" % name)[0] == 404, "the session outlived a gap")
    check(post("/send/%s/0" % name, bytes(200_000))[0] == 413, "a long body was taken")
    half = [socket.create_connection(("127.0.0.1", gateway.rtmpt)) for _ in range(50)]
    for sock in half:
        sock.sendall(b"POST /open/1 HTTP/1.1\r\nContent-Le")
    # More sessions than one address may have.
    keep = socket.create_connection(("127.0.0.1", gateway.rtmpt))
    got = [post("/open/1", keep=keep)[0] for _ in range(300)]
    check(got.count(200) == 256 and got.count(503) == 44, "sessions: %d opened" % got.count(200))
    for sock in half:
        sock.close()


@test(seconds=30)
def carriers_policy(bench):
    """the policy file, on its own port and on the RTMP port"""
    gateway = secure(bench)
    for port in (gateway.policy, gateway.rtmp):
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(b"<policy-file-request/>\0")
            got = b""
            while not got.endswith(b"\0"):
                more = sock.recv(4096)
                check(more, "port %d closed after %r" % (port, got))
                got += more
        want = b'<allow-access-from domain="*.example.com" to-ports="%d,%d"/>' % tuple(
            sorted((gateway.rtmp, gateway.rtmps)))
        check(want in got, "%r" % got)


@test(seconds=30)
def carriers_rtmpe_refused(bench):
    """rtmpdump with rtmpe:// is refused, and the log says why"""
    gateway = secure(bench)
    player = bench.start("rtmpdump", ["rtmpdump", "--live", "-r", "rtmpe://127.0.0.1:%d/call" % gateway.rtmp, "-y", "tone",
                                      "-o", bench.path("none.flv")])
    until(lambda: "the client asks for RTMPE" in gateway.log(), 10, "nothing in the log")
    player.finish(15, status=None)
