"""The front-end to the telephone network: carriers that fail in each way, limits, records, and those who scan."""
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from lib.harness import check, flashgate, test, until

NUMBER = "+4930123456"


def carriers(bench, first, second, limits=None, trunk=None, **settings):
    """A gateway with a trunk of two gateways, and alice, who may use it."""
    uris = ["sip:127.0.0.1:%s" % port for port in (first, second)]
    one = dict({"name": "carriers", "uri": uris[0], "username": "us", "answer_within": "1s", "ring_within": "3s",
                "rest": "5s"}, **(trunk or {}))
    trunks = [("sip.trunk", one)] + [("sip.trunk.gateway", {"uri": uri, "priority": n}) for n, uri in enumerate(uris)]
    arrays = trunks + [("limits.rule", rule) for rule in limits or ()]
    return bench.gateway(settings, users=["alice"], arrays=arrays,
                         routes=[{"match": r"\+[0-9]+", "to": ["carriers"]}])


def dial(bench, gateway, number=NUMBER, seconds=6):
    """A client with alice's password calls a number; what it reports."""
    call = bench.call(gateway, number, "--duration", seconds, "--user", "alice", "--password", "alicepw")
    return call.report(status=None)


def records(gateway):
    path = os.path.join(gateway.records, "calls.jsonl")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file]


def last_record(gateway, count=1):
    until(lambda: len(records(gateway)) >= count, 5, "there is no record")
    return records(gateway)[-1]


def ask(gateway, *args):
    until(lambda: os.path.exists(gateway.control), 5, "there is no control socket")
    answer = subprocess.run([flashgate(), *args, "--json", "--socket", gateway.control], capture_output=True, text=True,
                            timeout=20)
    check(answer.returncode == 0, "%s: %s" % (args, answer.stderr))
    return json.loads(answer.stdout)


def metric(gateway, name):
    """The sum of the samples of a metric whose line begins so."""
    page = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % gateway.console, timeout=10).read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name))


def second_takes(bench, gateway, second, status, tries=1):
    """The call comes through by the second carrier, and its record says what the first said."""
    report = dial(bench, gateway)
    bench.finish_sipp(second, "uas_basic")
    record = last_record(gateway)
    check(record["status"] == 200 and record["seconds"] > 1, "%s" % record)
    check(record["callee"]["name"].endswith(":%d" % second.port), "%s" % record["callee"])
    check(record["callee"]["trunk"] == "carriers" and record["callee"]["number"] == NUMBER, "%s" % record["callee"])
    check([t["status"] for t in record["tries"]] == [status] * tries, "%s" % record["tries"])
    check(record["dialled"] == NUMBER and record["caller"]["name"] == "alice", "%s" % record["caller"])
    check({m["of"] for m in record["media"]} == {"caller", "callee"}, "%s" % record["media"])
    check(record["mos"] and 1 <= record["mos"] <= 4.5, "no score: %s" % record["mos"])
    return report


def failing(name, about, make, status, seconds=60, transport=""):
    """A test in which the first carrier fails and the second takes the call."""
    def run(bench):
        first = make(bench)
        second = bench.sipp("uas_basic", "-", ["-rtp_echo"])
        gateway = carriers(bench, "%d%s" % (first, transport), second.port)
        second_takes(bench, gateway, second, status)
        trunk = ask(gateway, "trunks")["trunks"][0]
        check((trunk["calls"], trunk["answered"]) == (2, 1), "%s" % trunk)
        check(metric(gateway, "flashgate_trunk_gateway_failovers_total") == 1, "the fail-over is not counted")
    run.__name__ = "trunk_" + name
    run.__doc__ = about
    test(seconds=seconds)(run)


def silent(bench):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    bench.keep = sock
    return sock.getsockname()[1]


def scenario(name):
    return lambda bench: bench.sipp(name).port


failing("uas_unavailable", "the first carrier says 503: the second takes the call", scenario("uas_unavailable"), 503)
failing("uas_error", "the first carrier says 500: the second takes the call", scenario("uas_error"), 500)
failing("uas_no_route", "the first carrier says 404 with Q.850 cause 3, no route: the second takes the call",
        scenario("uas_no_route"), 404)
failing("silence", "the first carrier says nothing at all: the second takes the call", silent, 408)
failing("refused", "nobody listens at the first carrier (ICMP over UDP): the second takes the call",
        lambda bench: bench.ports(), 408)
failing("refused_tcp", "the first carrier refuses the connection: the second takes the call at once",
        lambda bench: bench.ports(), 503, transport=";transport=tcp")
failing("uas_slow", "the first carrier says 100 and no more: it is cancelled, and the second takes the call",
        scenario("uas_slow"), 408)


def final(name, scenario, status, reason):
    """A test in which the first carrier's word is that of the callee."""
    def run(bench):
        first = bench.sipp(scenario)
        gateway = carriers(bench, first.port, bench.ports())
        report = dial(bench, gateway)
        bench.finish_sipp(first, scenario)
        record = last_record(gateway)
        check((record["status"], record["reason"]) == (status, reason), "%s" % record)
        check(record["tries"] == [] and record["answered"] is None, "%s" % record)
        bench.note("%s" % report.get("status", ""))
    run.__name__ = "trunk_" + name
    run.__doc__ = "the carrier says %d: that is the callee's word, and nobody else is tried" % status
    test(seconds=60)(run)


final("uas_busy", "uas_busy", 486, "busy")
final("uas_not_found", "uas_not_found", 404, "not_found")


@test(seconds=60)
def trunk_probes(bench):
    """OPTIONS tell which gateway is there: calls go to the other at once, and `flashgate trunks` shows it"""
    second = bench.sipp("uas_basic", "-", ["-rtp_echo", "-aa"], CALLS=1000)
    gateway = carriers(bench, bench.ports(), second.port, trunk={"probe": "1s"})

    def states():
        return [g["state"] for g in ask(gateway, "trunks")["trunks"][0]["gateways"]]
    until(lambda: states() == ["down", "up"], 15, "the states are not seen: %s" % states())
    check(metric(gateway, "flashgate_trunk_gateway_up") == 1, "the metric says otherwise")
    begun = time.monotonic()
    dial(bench, gateway)
    check(time.monotonic() - begun < 8, "the dead gateway was waited for")
    record = last_record(gateway)
    check(record["status"] == 200 and record["tries"] == [] and record["setup_ms"] < 1500, "%s" % record)


@test(seconds=60)
def trunk_limits(bench):
    """blocked prefixes and full trunks: refused with a record and a metric; a stranger reaches no trunk"""
    second = bench.sipp("uas_basic", "-", ["-rtp_echo"])
    gateway = carriers(bench, second.port, bench.ports(), trunk={"blocked": ["+4990"], "max_calls": 1})
    dial(bench, gateway, "+4990123456")
    check(last_record(gateway)["reason"] == "blocked", "%s" % records(gateway))
    held = bench.call(gateway, NUMBER, "--duration", 6, "--user", "alice", "--password", "alicepw")
    gateway.wait_log("call begins")
    time.sleep(2)
    dial(bench, gateway, "+4930999999")
    check([r["reason"] for r in records(gateway)] == ["blocked", "overloaded"], "%s" % records(gateway))
    bench.call(gateway, NUMBER, "--duration", 2).report(status=None)
    stranger = last_record(gateway, 3)
    check(stranger["callee"] is None and stranger["status"] in (403, 404), "%s" % stranger)
    held.report()
    check(last_record(gateway, 4)["status"] == 200, "the call in progress was hit")


@test(seconds=60)
def trunk_records_survive(bench):
    """a call that ended 100 ms before kill -9 has its record"""
    second = bench.sipp("uas_basic", "-", ["-rtp_echo"])
    gateway = carriers(bench, second.port, bench.ports())
    call = bench.call(gateway, NUMBER, "--duration", 2, "--user", "alice", "--password", "alicepw")
    gateway.may_end = True
    gateway.wait_log("call begins")
    until(lambda: "call ended" in gateway.log(), 20, "the call does not end")
    time.sleep(0.1)
    os.kill(gateway.pid, signal.SIGKILL)
    call.finish(30, status=None)
    check(records(gateway) and records(gateway)[-1]["status"] == 200, "%s" % records(gateway))


@test(seconds=120)
def trunk_scanners(bench):
    """sipvicious: svmap, svwar and svcrack learn nothing, and their source is banned"""
    gateway = bench.gateway({"sip": {"inbound": "users"}, "sip.guard": {"trusted": [], "ban": "1m"}}, users=["alice"])

    def scan(tool, *args):
        """Runs a tool; everything that it says."""
        program = os.path.join(os.path.dirname(sys.executable), "sipvicious_" + tool)
        process = bench.start(tool, [program, *args])
        process.finish(60, status=None)
        return process.log()

    found = scan("svmap", "-p", gateway.sip, "127.0.0.1")
    check("flashgate" not in found, "svmap found us: " + found)
    bans = ask(gateway, "bans")
    check([b["why"] for b in bans["bans"]] == ["scanner"], "%s" % bans)
    ask(gateway, "unban", "127.0.0.1")
    # With another name they are not known at once, but learn no more.
    for method in ("REGISTER", "INVITE", "OPTIONS"):
        found = scan("svwar", "-m", method, "-e", "100-150", "-p", gateway.sip, "127.0.0.1")
        check("alice" not in found and "reqauth" not in found, "svwar: " + found)
    with open(bench.path("words"), "w") as file:
        file.write("".join("word%d\n" % n for n in range(60)) + "alicepw\n")
    found = scan("svcrack", "-u", "alice", "-d", bench.path("words"), "-p", gateway.sip, "127.0.0.1")
    check("alicepw" not in found, "svcrack: " + found)
    # The same by hand, without the name in User-Agent.
    ask(gateway, "unban", "127.0.0.1") if ask(gateway, "bans")["bans"] else None
    answers = guess(gateway, [b"guess%d" % n for n in range(60)])
    check(answers[0] == "401" and set(answers[20:]) == {"-"}, "guesses were answered: %s" % answers)
    bans = ask(gateway, "bans")
    check(bans["bans"] and bans["so_far"] and bans["dropped"]["of_banned"] > 0, "%s" % bans)
    check(metric(gateway, "flashgate_bans_total") >= 2, "the metric says otherwise")
    bench.note("%s" % bans["so_far"])


def guess(gateway, passwords):
    """REGISTER with wrong digests; the status of each answer, or "-"."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.connect(("127.0.0.1", gateway.sip))
    sock.settimeout(0.3)
    here, out = sock.getsockname()[1], []
    for n, word in enumerate(passwords):
        text = ("REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKg%d\r\nMax-Forwards: 70\r\n"
                "From: <sip:alice@127.0.0.1>;tag=g%d\r\nTo: <sip:alice@127.0.0.1>\r\nCall-ID: g%d\r\nCSeq: 1 REGISTER\r\n"
                "Contact: <sip:alice@127.0.0.1:%d>\r\nAuthorization: Digest username=\"alice\", realm=\"test.invalid\", nonce=\"%s\", "
                "uri=\"sip:127.0.0.1\", response=\"%032x\"\r\nContent-Length: 0\r\n\r\n"
                % (here, n, n, n, here, word.decode(), n))
        sock.send(text.encode())
        try:
            out.append(sock.recv(4096).split()[1].decode())
        except TimeoutError:
            out.append("-")
    return out
