"""Bad days of an operator: killed, disk full, nobody reads the log, no descriptors, no DNS, an expired certificate, overload."""
import fcntl
import os
import resource
import signal
import socket
import ssl
import subprocess
import time

from lib.certs import Authority
from lib.harness import check, flashgate, test, until
from test_admin import ask, records

OPTIONS = ("OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%d;rport\r\nMax-Forwards: 70\r\n"
           "From: <sip:probe@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: probe-%d\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")


def calls(gateway, *args):
    """Starts `flashgate call` to the echo."""
    return subprocess.Popen([flashgate(), "call", "rtmp://127.0.0.1:%d/call" % gateway.rtmp, "echo", *args],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start(bench, *args, **options):
    """A gateway whose control socket is open."""
    gateway = bench.gateway(*args, **options)
    until(lambda: os.path.exists(gateway.control), 10, "no control socket")
    return gateway


def answers_soon(gateway, number):
    """Milliseconds until an OPTIONS is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        begun = time.monotonic()
        sock.sendto((OPTIONS % (sock.getsockname()[1], number, number)).encode(), ("127.0.0.1", gateway.sip))
        sock.recv(4096)
        return (time.monotonic() - begun) * 1e3


@test(seconds=90)
def overload_is_refused_and_harms_no_call(bench):
    """twice the calls it may carry are offered for 20 s: those admitted lose next to nothing, the others are refused with 503, SIP stays quick"""
    gateway = start(bench, {"limits": {"calls": 5}})
    kept = bench.call(gateway, "echo", "--calls", 5, "--rate", 20, "--duration", 24)
    until(lambda: ask(gateway, "status")["calls"]["up"] == 5, 10, "five calls are not up")
    refused, slow, begun = 0, [], time.monotonic()
    while time.monotonic() - begun < 18:
        report = bench.call(gateway, "echo", "--calls", 5, "--rate", 10, "--duration", 1).report(20, None)
        check(list(report["statuses"]) == ["503 the gateway is at its limit"], report["statuses"])
        refused += report["failed"]
        slow.append(answers_soon(gateway, refused))
    report = kept.report(30)
    check(report["statuses"] == {"200 OK": 5} and report["frames_lost"] * 100 <= report["frames_sent"], "%s" % report)
    status = ask(gateway, "status")
    check(status["calls"]["refused"] == refused and refused >= 20, "%d refused, %s counted" % (refused, status["calls"]))
    slow.sort()
    check(slow[len(slow) // 2] < 200, "OPTIONS are answered after %s ms" % [round(x) for x in slow])


@test(seconds=60)
def killed_under_load_it_starts_again(bench):
    """kill -9 with calls in progress and others over: each call that was over has its record, and it starts again in the same place"""
    gateway = start(bench)
    going = calls(gateway, "--calls", "10", "--rate", "20", "--duration", "40")
    over = calls(gateway, "--calls", "10", "--rate", "20", "--duration", "1")
    over.wait(30)
    until(lambda: ask(gateway, "status")["calls"]["now"] == 10, 10, "ten calls do not go on")
    time.sleep(1)
    os.kill(gateway.pid, signal.SIGKILL)
    gateway.may_end = True
    going.kill()
    going.wait()
    check(len([r for r in records(gateway) if r["status"] == 200]) == 10, records(gateway))
    again = bench.start("gateway-again", [flashgate(), "run", "--config", gateway.config])
    until(lambda: "control socket open" in again.log(), 10, "it does not start again")
    check(calls(gateway, "--duration", "1").wait(20) == 0, "no call after the start")
    until(lambda: len(records(gateway)) == 11, 5, "the new call has no record")


@test(seconds=60)
def a_full_disk_ends_no_call_and_loses_no_record(bench):
    """the disk of the records fills up: calls go on, the log says so; when there is room again the records are there"""
    disk = bench.path("disk")
    os.makedirs(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        gateway = start(bench, {"records": {"dir": disk}})
        with open(os.path.join(disk, "filler"), "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 1024)
            except OSError:
                pass
        check(calls(gateway, "--calls", "5", "--rate", "20", "--duration", "1").wait(30) == 0, "a full disk fails calls")
        gateway.wait_log("call records cannot be written", 10)
        os.remove(os.path.join(disk, "filler"))
        until(lambda: len(records(gateway)) == 5, 20, "records are missing")
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


@test(seconds=60)
def a_log_that_nobody_reads_stops_nothing(bench):
    """stderr is a pipe that is full: calls and commands go on"""
    gateway = start(bench)
    control = bench.path("blocked.sock")
    with open(gateway.config) as file:
        text = file.read()
    ports = bench.ports(), bench.ports(), bench.ports()
    for old, new in zip((gateway.rtmp, gateway.sip, gateway.console), ports):
        text = text.replace(":%d" % old, ":%d" % new)
    text = text.replace(gateway.control, control).replace('level = "debug"', 'level = "trace"')
    config = bench.path("blocked.toml")
    with open(config, "w") as file:
        file.write(text.replace(gateway.records, bench.path("blocked-records")))
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    child = subprocess.Popen([flashgate(), "run", "--config", config], stderr=writer, stdout=writer, start_new_session=True)
    with open(bench.path("pids"), "a") as pids:
        pids.write("%d\n" % child.pid)
    os.close(writer)
    try:
        until(lambda: os.path.exists(control), 15, "it does not start")
        gateway.rtmp, gateway.control = ports[0], control
        report = bench.call(gateway, "echo", "--calls", 5, "--duration", 6).report(30)
        check(report["statuses"] == {"200 OK": 5} and report["frames_lost"] * 100 <= report["frames_sent"], "%s" % report)
        check(ask(gateway, "status")["calls"]["answered"] == 5, "the commands do not answer")
        waiting = os.read(reader, 1 << 20)
        check(len(waiting) > 3500, "the pipe was not full: %d bytes" % len(waiting))
    finally:
        child.kill()
        child.wait()
        os.close(reader)


@test(seconds=60)
def without_descriptors_calls_go_on_and_it_recovers(bench):
    """it runs out of file descriptors: calls in progress are heard, the console is back as soon as some are free"""
    gateway = start(bench)
    kept = bench.call(gateway, "echo", "--duration", 15)
    until(lambda: ask(gateway, "status")["calls"]["up"] == 1, 10, "no call")
    used = ask(gateway, "status")["open_files"]
    few = used + 10, resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)[1]
    many = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, few)
    flood = []
    for _ in range(60):
        sock = socket.socket()
        sock.settimeout(2)
        sock.connect(("127.0.0.1", gateway.rtmp))
        flood.append(sock)
    time.sleep(2)
    check(calls(gateway, "--duration", "1").wait(40) != 0, "a call without a descriptor")
    for sock in flood:
        sock.close()
    until(lambda: subprocess.run([flashgate(), "status", "--socket", gateway.control], capture_output=True).returncode == 0,
          15, "the commands do not come back")
    report = kept.report(30)
    check(report["status"].startswith("200") and report["frames_lost"] * 100 <= report["frames_sent"], "%s" % report)
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, many)
    until(lambda: calls(gateway, "--duration", "1").wait(20) == 0, 30, "no call after it")


@test(seconds=90)
def dead_name_servers_delay_only_who_needs_names(bench):
    """no name server answers: a call to a domain fails within 20 s, calls that need no name are set up meanwhile as ever"""
    resolv = bench.path("resolv.conf")
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.253", 53))
    with open(resolv, "w") as file:
        file.write("nameserver 127.0.0.253\n")
    wrapper = bench.path("flashgate-without-names")
    with open(wrapper, "w") as file:
        file.write('#!/bin/sh\nexec unshare -m sh -c \'mount --bind %s /etc/resolv.conf && exec "$0" "$@"\' %s "$@"\n'
                   % (resolv, os.path.abspath(flashgate())))
    os.chmod(wrapper, 0o755)
    program = os.environ["FLASHGATE"] if "FLASHGATE" in os.environ else None
    os.environ["FLASHGATE"] = wrapper
    try:
        gateway = start(bench)
    finally:
        if program is None:
            del os.environ["FLASHGATE"]
        else:
            os.environ["FLASHGATE"] = program
    begun = time.monotonic()
    lost = bench.call(gateway, "sip:somebody@elsewhere.example", "--duration", 2)
    for _ in range(3):
        report = bench.call(gateway, "echo", "--duration", 1).report(20)
        check(report["setup_ms"] < 500, "%s" % report)
    report = lost.report(40, None)
    check(report["failed"] == 1 and time.monotonic() - begun < 30, "%s after %d s" % (report, time.monotonic() - begun))
    silent.close()


@test(seconds=60)
def an_expired_certificate_is_replaced_without_a_restart(bench):
    """RTMPS with a certificate that has expired: clients that check refuse it; the new file counts for the next connection"""
    authority = Authority(bench.folder)
    cert, key = bench.path("cert.pem"), bench.path("key.pem")

    def issue(name):
        for made, path in zip(authority.issue(name), (cert, key)):
            with open(made, "rb") as old, open(path, "wb") as new:
                new.write(old.read())

    issue("old")
    subprocess.run(["openssl", "x509", "-req", "-in", authority.path("old.csr"), "-CA", authority.ca, "-CAkey", authority.key,
                    "-days", "0", "-extfile", authority.path("old.ext"), "-out", cert], check=True, capture_output=True)
    time.sleep(1.5)
    port = bench.ports()
    bench.gateway({"sip": {"tls": []}, "rtmp": {"tls": ["127.0.0.1:%d" % port]}, "tls": {"certificate": cert, "key": key}})

    def shown():
        context = ssl.create_default_context(cafile=authority.ca)
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            try:
                with context.wrap_socket(sock, server_hostname="localhost"):
                    return "good"
            except ssl.SSLCertVerificationError as error:
                return error.verify_message

    check("expired" in shown(), "the old one: " + shown())
    issue("new")
    until(lambda: shown() == "good", 20, "the new certificate is not shown")
