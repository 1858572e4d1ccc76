"""The scripted calls of sipp/: each scenario says what it expects of the gateway."""
import hashlib
import re
import time

from lib.harness import DOMAIN, check, test, until
from lib.phone import register
from lib.rtmpmini import Client

# What belongs to a later stage, and why. `run.py --list` shows it.
LATER = {
    "uac_invite_407": "never: the gateway answers as user agent, whose challenge is 401 (RFC 3261 22.2), "
                      "not as proxy; that it answers a 407 is shown by uas_407",
}


def against(bench, gateway, scenario, args=("-s", "echo"), **env):
    host = env.pop("REMOTE", "127.0.0.1")
    process = bench.sipp(scenario, "%s:%d" % (host, gateway.sip), list(args), **env)
    bench.finish_sipp(process, scenario)


def caller(scenario, args=("-s", "echo"), users=(), name=None, seconds=60, **env):
    """A test in which sipp calls the gateway."""
    def run(bench):
        settings = {"sip": {"inbound": "open"}}
        gateway = bench.gateway(settings, users=users, ipv6="REMOTE" in env)
        against(bench, gateway, scenario, args, **env)
    run.__name__ = "sipp_" + (name or scenario)
    run.__doc__ = "sipp's %s calls the gateway" % scenario
    test(seconds=seconds)(run)


for _scenario in ("uac_basic", "uac_pcap", "uac_hold_resume", "uac_info_dtmf", "uac_info_dtmf_plain", "uac_options",
                  "uac_retransmit", "uac_refresh_reinvite", "uac_refresh_update", "uac_timer_too_small", "uac_prack",
                  "bad_require", "bad_method", "bad_content_type", "bad_sdp", "bad_version",
                  "bad_scheme", "bad_max_forwards", "bad_dialog", "bad_cancel"):
    caller(_scenario)
caller("uac_refresh_by_peer", seconds=100, LIMIT=80)
caller("uac_basic", name="uac_basic_tcp", TRANSPORT="t1")
caller("uac_basic", name="uac_basic_ipv6", ADDR="[::1]", REMOTE="[::1]")
caller("uac_basic", name="uac_basic_ipv6_tcp", ADDR="[::1]", REMOTE="[::1]", TRANSPORT="t1")
caller("uac_options", name="uac_options_tcp", TRANSPORT="t1")
caller("uac_basic", ("-s", "echo", "-lost", "15"), name="uac_basic_lossy", LIMIT=40)
caller("uac_not_found", ("-s", "nobody"))
caller("uac_register", ("-s", "alice", "-ap", "alicepw", "-key", "domain", DOMAIN), users=["alice"])
caller("uac_register", ("-s", "alice", "-ap", "alicepw", "-key", "domain", DOMAIN), users=["alice"],
       name="uac_register_tcp", TRANSPORT="t1")
caller("uac_register_bad_password", ("-s", "alice", "-key", "domain", DOMAIN), users=["alice"])


@test(seconds=60)
def sipp_uac_invite_401(bench):
    """sipp's uac_invite_401: with sip.inbound = "users" a call in is challenged"""
    gateway = bench.gateway({"sip": {"inbound": "users"}}, users=["alice"])
    against(bench, gateway, "uac_invite_401", ["-s", "echo", "-au", "alice", "-ap", "alicepw"])


def callee(caller_scenario, callee_scenario, args=()):
    """A test in which sipp calls sipp, registered as bob, by way of the gateway."""
    def run(bench):
        gateway = bench.gateway({"sip": {"inbound": "open"}}, users=["bob"])
        port = register(bench, gateway, "bob", "bobpw")
        far = bench.sipp(callee_scenario, "-", ["-rtp_echo"], PORT=port)
        against(bench, gateway, caller_scenario, ["-s", "bob", *args])
        bench.finish_sipp(far, callee_scenario)
    run.__name__ = "sipp_%s__%s" % (caller_scenario, callee_scenario)
    run.__doc__ = "%s calls %s through the gateway" % (caller_scenario, callee_scenario)
    test(seconds=60)(run)


callee("uac_basic", "uas_basic")
callee("uac_bye_from_far", "uas_bye")
callee("uac_busy", "uas_busy")
callee("uac_cancel", "uas_no_answer")
callee("uac_basic", "uas_early_media")


@test(seconds=60)
def sipp_uac_dtmf_rfc4733__baresip(bench):
    """digits as telephone-event from sipp reach baresip through the gateway, each once"""
    gateway = bench.gateway({"sip": {"inbound": "open"}}, users=["bob"])
    bob = bench.baresip("bob", gateway)
    against(bench, gateway, "uac_dtmf_rfc4733", ["-s", "bob"], HOLD=2500)
    digits = [bob.control.wait("CALL_DTMF_START", 1) for _ in range(7)]
    check("".join(d["param"] for d in digits if d) == "1590*#", "heard %s" % digits)


@test(seconds=60)
def sipp_uac_hold_resume__baresip(bench):
    """a caller holds and takes back a call to a phone registered at the gateway"""
    gateway = bench.gateway({"sip": {"inbound": "open"}}, users=["bob"])
    bob = bench.baresip("bob", gateway)
    against(bench, gateway, "uac_hold_resume", ["-s", "bob"])
    bob.closed()


@test(seconds=60)
def sipp_uac_refer(bench):
    """a caller sends the one it called to another (RFC 3515), and leaves"""
    gateway = bench.gateway({"sip": {"inbound": "open"}}, users=["bob", "carol"])
    bob = bench.sipp("uas_basic", "-", ["-rtp_echo"], PORT=register(bench, gateway, "bob", "bobpw"))
    carol = bench.sipp("uas_bye", "-", ["-rtp_echo"], PORT=register(bench, gateway, "carol", "carolpw"), HOLD=2000)
    against(bench, gateway, "uac_refer", ["-s", "bob", "-key", "refer_to", "sip:carol@127.0.0.1:%d" % gateway.sip])
    bench.finish_sipp(carol, "uas_bye")
    bench.finish_sipp(bob, "uas_basic")


@test(seconds=60)
def sipp_uas_refer(bench):
    """the one who was called sends the caller to another, and leaves"""
    gateway = bench.gateway({"sip": {"inbound": "open"}}, users=["bob", "carol"])
    port = register(bench, gateway, "bob", "bobpw")
    bob = bench.sipp("uas_refer", "-", ["-key", "refer_to", "sip:carol@127.0.0.1:%d" % gateway.sip], PORT=port)
    carol = bench.sipp("uas_basic", "-", ["-rtp_echo"], PORT=register(bench, gateway, "carol", "carolpw"))
    against(bench, gateway, "uac_basic", ["-s", "bob"], HOLD=4000)
    bench.finish_sipp(bob, "uas_refer")
    bench.finish_sipp(carol, "uas_basic")


def phone_client(bench, scenario, settings=None):
    """A mod_rtmp client, logged in as alice, in a call with sipp. Returns sipp, the client and the call's UUID."""
    far = bench.sipp(scenario, "-")
    gateway = bench.gateway(settings or {}, users=["alice"])
    client = Client(gateway.rtmp, app="phone")

    def told(name):
        def there():
            values = [e[2] for e in client.events if e[0] == "reply" and e[1] == name]
            check(not client.closed, "connection lost: %s" % client.closed)
            return values[-1] if values else None
        return until(there, 10, lambda: "no %s: %s" % (name, client.events))
    session = told("connected")[-1]
    aor = "alice@" + DOMAIN
    client.command("login", None, aor, hashlib.md5(("%s:%s:alicepw" % (session, aor)).encode()).hexdigest())
    check("success" in told("onLogin"), "login failed: %s" % client.events)
    client.command("makeCall", None, "sip:sipp@127.0.0.1:%d" % far.port, aor, {})
    uuid = told("onMakeCall")[2]
    until(lambda: any(e[1] == "callState" and "ACTIVE" in e[2] for e in client.events), 10, "the call is not up")
    return far, client, uuid, told


@test(seconds=60)
def sipp_uas_transferee(bench):
    """a mod_rtmp client transfers the party it called: REFER, and BYE when all went well"""
    far, client, uuid, told = phone_client(bench, "uas_transferee")
    client.command("transfer", None, uuid, "sip:carol@127.0.0.1:5999")
    bench.finish_sipp(far, "uas_transferee")
    told("onHangup")


@test(seconds=60)
def sipp_uas_info(bench):
    """a mod_rtmp client's digits go by INFO where no telephone-event was negotiated, each once and in order"""
    far, client, uuid, _ = phone_client(bench, "uas_info", {"media": {"telephone_event": False}})
    client.command("sendDTMF", None, "15*#", 1280)
    time.sleep(2.5)
    client.command("hangup", None, uuid)
    bench.finish_sipp(far, "uas_info")
    said = open(bench.path("sipp", "uas_info.msg"), errors="replace").read()
    signals = re.findall(r"received \[?\d*\]?.*?Signal=(.)", said, re.S)
    check("".join(signals) == "15*#", "sipp got %s" % signals)


def called(scenario, ends="client", args=(), seconds=3.0, trunk=False, name=None, status=None, ipv6=False, **env):
    """A test in which an RTMP client calls sipp by way of the gateway."""
    def run(bench):
        far = bench.sipp(scenario, "-", ["-rtp_echo", *args], **env)
        uri = "sip:sipp@%s:%d" % ("[::1]" if ipv6 else "127.0.0.1", far.port)
        options, target = {}, uri
        if env.get("TRANSPORT") == "t1":
            target += ";transport=tcp"
        if trunk:
            options = dict(
                users=["bob"], routes=[{"match": "[0-9]+", "to": ["far"]}],
                trunks=[{"name": "far", "uri": uri, "username": "alice", "password": "alicepw"}])
            target = "123?user=bob&pass=bobpw"
        gateway = bench.gateway(ipv6=ipv6, **options)
        from test_phones import wait_end
        client = Client(gateway.rtmp)
        play = client.play(target, wait=False)
        stream = client.publish(target, wait=False)
        if ends == "client":
            time.sleep(seconds)
            client.close()
        else:
            wait_end(client, stream, status or "", 15)
            wait_end(client, play)
        bench.finish_sipp(far, scenario)
    run.__name__ = "sipp_" + (name or scenario)
    run.__doc__ = "an RTMP client calls sipp's %s" % scenario
    test(seconds=60 + seconds)(run)


AUTH = ("-key", "realm", DOMAIN, "-key", "user", "alice", "-key", "password", "alicepw")
called("uas_basic")
called("uas_basic", name="uas_basic_tcp", TRANSPORT="t1")
called("uas_basic", name="uas_basic_ipv6", ipv6=True, ADDR="[::1]")
called("uas_bye", ends="sipp")
called("uas_busy", ends="sipp", status="486")
called("uas_decline", ends="sipp", status="603")
called("uas_no_answer", seconds=1.5)
called("uas_early_media", HOLD=2000, seconds=5)
called("uas_early_media_prack", HOLD=2000, seconds=5)
called("uas_hold_resume", seconds=4)
called("uas_refresh_update", seconds=4)
called("uas_refresh_by_peer", seconds=52, LIMIT=80)
called("uas_401", args=AUTH, trunk=True)
called("uas_407", args=AUTH, trunk=True)


@test(seconds=60)
def sipp_uas_registrar(bench):
    """the gateway registers at sipp with digest, and unregisters when it ends"""
    far = bench.sipp("uas_registrar", "-", AUTH)
    gateway = bench.gateway(trunks=[{"name": "far", "uri": "sip:127.0.0.1:%d" % far.port, "username": "alice",
                                     "password": "alicepw", "realm": DOMAIN, "register": True, "expires": "60s"}])
    time.sleep(3)
    gateway.interrupt(15)
    bench.finish_sipp(far, "uas_registrar")
    gateway.finish(10)
    gateway.check_healthy = lambda: None


@test(seconds=60)
def sipp_early_media_is_heard(bench):
    """what the far end says before it answers is heard by the RTMP client"""
    from lib.harness import until
    far = bench.sipp("uas_early_media", "-", HOLD=4000)
    gateway = bench.gateway()
    client = Client(gateway.rtmp)
    client.play("sip:sipp@127.0.0.1:%d" % far.port, wait=False)
    until(lambda: len(client.audio) > 50, 8, lambda: "%d messages" % len(client.audio))
    time.sleep(6)
    client.close()
    bench.finish_sipp(far, "uas_early_media")


@test(seconds=60)
def sipp_scenarios_are_all_used(_bench):
    """every scenario is run by a test or listed as later with its reason"""
    import os
    from lib.harness import PEERS, TESTS
    scenarios = {n[:-4] for n in os.listdir(os.path.join(PEERS, "sipp")) if n.endswith(".xml")}
    unused = [s for s in scenarios if s not in LATER and not any(s in name for name in TESTS)]
    check(not unused, "no test runs " + " ".join(sorted(unused)))
