"""Gateways that share a directory: three processes, a call across, restarts, a dead bootstrap peer, strangers."""
import json
import os
import shutil
import signal
import subprocess
import time

from lib.harness import DOMAIN, check, flashgate, test


def tool(*command, status=0):
    """What a command prints."""
    run = subprocess.run([flashgate(), *map(str, command)], capture_output=True, text=True, timeout=30)
    check(run.returncode == status, "%s: %d, %s" % (command, run.returncode, run.stderr))
    return run.stdout.strip() if status == 0 else run.stderr


def ask(gateway, *command):
    """What a running gateway answers, as JSON; None when it refuses."""
    run = subprocess.run([flashgate(), *command, "--json", "--socket", gateway.control],
                         capture_output=True, text=True, timeout=30)
    return json.loads(run.stdout) if run.returncode == 0 else None


def until(what, condition, seconds):
    """How long it took."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        if condition():
            return time.monotonic() - began
        time.sleep(0.05)
    check(False, "not within %d s: %s" % (seconds, what))


class Overlay:
    """An authority and its members."""

    def __init__(self, bench):
        self.bench = bench
        self.authority = bench.path("authority.key")
        self.id = tool("keygen", "--out", self.authority)

    def member(self, name, users, bootstrap=(), pattern="*@" + DOMAIN, authority=None, **directory):
        """A gateway that is enrolled; again under the same name: with the same key and state."""
        folder = self.bench.path("state-" + name)
        key, certificate = os.path.join(folder, "node.key"), os.path.join(folder, "node.cert")
        if not os.path.exists(key):
            os.makedirs(folder, exist_ok=True)
            peer = tool("keygen", "--out", key)
            with open(certificate, "w") as file:
                file.write(tool("enroll", "--authority", authority or self.authority, "--peer", peer,
                                "--name", pattern) + "\n")
        port = self.bench.ports()
        gateway = self.bench.gateway(users=users, rtp=40, settings={
            "node": {"state_dir": folder},
            "sip": {"inbound": "open"},
            "directory": dict({"backend": "p2p", "cache": "2s", "cache_none": "1s"}, **directory),
            "overlay": {"listen": ["127.0.0.1:%d" % port], "bootstrap": list(bootstrap),
                        "certificate": certificate, "authorities": [self.id]},
        })
        gateway.overlay = "127.0.0.1:%d" % port
        gateway.peer = tool("keygen", "--show", "--out", key)
        return gateway


def knows(gateway, user):
    """Where the directory says that a user is: the addresses of gateways."""
    answer = ask(gateway, "lookup", "%s@%s" % (user, DOMAIN))
    return [place["contact"] for place in answer["locations"]] if answer else []


def at(gateway, user):
    return "sip:%s@127.0.0.1:%d;x-here" % (user, gateway.sip)


def calls_across(bench, gateway, phone, user):
    """A Flash client on one gateway calls a phone of another by its name; both hear each other."""
    heard = bench.path(bench.unique("heard") + ".wav")
    call = bench.call(gateway, user, "--api", "siprtmp", "--codec", "speex", "--user", "alice", "--password", "alicepw",
                      "--play", bench.media("tone-440-8.wav"), "--marks", "off", "--record", heard,
                      "--duration", 5, app="sip")
    phone.established()
    report = call.report(40, status=0)
    check(report["frames_received"] > 100, "few frames came: %s" % report)
    phone.closed()
    bench.heard(phone.dump(), 440, 620, 2.0)
    bench.heard(bench.decode(heard, 8000), 620, 440, 2.0)


@test(seconds=150)
def directory_three_gateways(bench):
    """a Flash user on one gateway calls a phone on another by name; one is killed and comes back elsewhere; the
    bootstrap peer dies"""
    overlay = Overlay(bench)
    boot = overlay.member("boot", [])
    first = overlay.member("a", ["alice"], [boot.overlay])
    second = overlay.member("b", ["bob"], [boot.overlay])
    third = overlay.member("c", ["carol"], [boot.overlay])
    until("all know each other", lambda: all(len(ask(g, "peers")["peers"]) == 3 for g in (first, second, third)), 20)

    bob = bench.baresip("bob", second)
    carol = bench.baresip("carol", third)
    bench.note("bob is found after %.1f s" % until("bob", lambda: knows(first, "bob") == [at(second, "bob")], 10))
    until("carol", lambda: knows(first, "carol") == [at(third, "carol")], 10)
    calls_across(bench, first, bob, "bob")
    metrics = ask(first, "peers")
    check(metrics["lookups"].get("found", 0) > 0 and not metrics["refused"], metrics)

    # The third is killed, and is somewhere else afterwards.
    third.may_end = True
    os.kill(third.pid, signal.SIGKILL)
    carol.process.stop()
    third = overlay.member("c", ["carol"], [boot.overlay])
    third.wait_ready()
    began = time.monotonic()
    carol = bench.baresip("carol", third)
    until("carol at her new place", lambda: at(third, "carol") in knows(first, "carol"), 10)
    bench.note("resolved anew %.1f s after its start" % (time.monotonic() - began))
    until("no wrong answer", lambda: knows(first, "carol") == [at(third, "carol")], 10)
    calls_across(bench, first, carol, "carol")

    # Nobody needs the bootstrap peer any more.
    boot.may_end = True
    os.kill(boot.pid, signal.SIGKILL)
    time.sleep(1)
    check(knows(first, "bob") == [at(second, "bob")], "bob is lost with the bootstrap peer")
    first.may_end = True
    os.kill(first.pid, signal.SIGKILL)
    first = overlay.member("a", ["alice"], [boot.overlay])
    first.wait_ready()
    until("bob, without bootstrap peer", lambda: knows(first, "bob") == [at(second, "bob")], 20)
    calls_across(bench, first, bob, "bob")


@test(seconds=90)
def directory_strangers(bench):
    """a gateway enrolled for other names, or by another authority, publishes nobody's names but its own"""
    overlay = Overlay(bench)
    first = overlay.member("a", ["alice"])
    thief = overlay.member("thief", ["bob"], [first.overlay], pattern="*@other.invalid")
    until("they know each other", lambda: len(ask(first, "peers")["peers"]) == 1, 20)
    bench.baresip("bob", thief)
    until("it tries", lambda: "could not be published" in thief.log(), 10)
    check(knows(first, "bob") == [], "a foreign name was taken")

    # A certificate of somebody else's authority is no certificate here.
    other = bench.path("other.key")
    tool("keygen", "--out", other)
    stranger = overlay.member("stranger", [], [first.overlay], authority=other)
    stranger.may_end = True
    until("it does not start", lambda: not stranger.running(), 10)
    check("overlay.certificate" in stranger.log() or "not enrolled" in stranger.log(), stranger.log()[-300:])


@test(seconds=60)
def directory_tools(bench):
    """keys are made once and are their owner's; wrong names and roles are refused with a reason"""
    key = bench.path("node.key")
    peer = tool("keygen", "--out", key)
    check(peer.startswith("12D3Koo") and peer == tool("keygen", "--show", "--out", key), peer)
    check(os.stat(key).st_mode & 0o077 == 0, "others may read the key")
    check("exists" in tool("keygen", "--out", key, status=1).lower(), "a key was written over")
    check("*@domain" in tool("enroll", "--authority", key, "--peer", peer, "--name", "a b", status=1),
          "a name that is none")
    check("known" in tool("enroll", "--authority", key, "--peer", peer, "--name", "*", "--role", "king", status=1),
          "a role that is none")
    certificate = bench.path("node.cert")
    with open(certificate, "w") as file:
        file.write(tool("enroll", "--authority", key, "--peer", peer, "--name", "*@" + DOMAIN))
    check(len(tool("revoke", "--authority", key, "--certificate", certificate)) > 100, "no list")


@test(seconds=60)
def directory_local(bench):
    """with no configuration a gateway keeps its own users' places, and forgets none at a restart"""
    folder = bench.path("state")
    gateway = bench.gateway(users=["alice"], settings={"node": {"state_dir": folder}})
    gateway.wait_ready()
    alice = bench.baresip("alice", gateway)
    until("alice", lambda: knows(gateway, "alice") == [at(gateway, "alice")], 10)
    check(ask(gateway, "lookup", "nobody@" + DOMAIN) is None, "nobody is found")
    gateway.may_end = True
    os.kill(gateway.pid, signal.SIGKILL)
    shutil.copy(os.path.join(folder, "directory", "records.log"), bench.path("records.log"))
    check(os.path.getsize(bench.path("records.log")) > 100, "nothing is on the disk")
    again = bench.gateway(users=["alice"], settings={"node": {"state_dir": folder}})
    again.wait_ready()
    until("what was known before", lambda: knows(again, "alice") == [at(gateway, "alice")], 5)
    alice.process.stop()
