"""Protected media with real phones: SRTP by keys in SDP; ICE. DTLS is in test_webrtc.py."""
import time

from lib.harness import check, test
from test_admin import ask, get, records, wait_for


def shows_protection(gateway, suites):
    """The call in progress is protected, by one of these, on every leg that is RTP; what was sent is taken."""
    call = ask(gateway, "calls")["calls"][0]
    check(call["srtp"] == "yes", call)
    legs = [leg for leg in ask(gateway, "call-info", call["id"])["legs"] if leg["kind"] == "sip"]
    # baresip begins with a report in clear, to open its NAT.
    check(legs and all(leg["srtp"] in suites and leg["replayed"] == 0 and leg["forged"] < 5 for leg in legs), legs)
    page = get(gateway, "/metrics")[1]
    check("flashgate_srtp_legs %d\n" % len(legs) in page, page)


def recorded(gateway, suites):
    record = wait_for("record", lambda: records(gateway), 5)[-1]
    media = [leg for leg in record["media"] if leg["side"] == "rtp"]
    check(media and all(leg["srtp"] in suites for leg in media), record)


CM = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
ANY = CM + ("AEAD_AES_128_GCM", "AEAD_AES_256_GCM")


def calls_echo(bench, kind, suites, policy, **env):
    gateway = bench.gateway({"media": {"srtp": policy}}, users=["alice"])
    alice = getattr(bench, kind)("alice", gateway, **env)
    alice.dial(gateway.uri("echo"))
    alice.established()
    time.sleep(3)
    shows_protection(gateway, suites)
    alice.hangup()
    alice.closed()
    recorded(gateway, suites)
    bench.heard(alice.dump, 440, 620, 1.5)


def is_called(bench, kind, policy, **env):
    """A plain phone calls a protected one: the gateway stands between."""
    gateway = bench.gateway({"media": {"srtp": policy}}, users=["alice", "bob"])
    bob = getattr(bench, kind)("bob", gateway, **env)
    alice = bench.baresip("alice", gateway, MEDIAENC="srtp-mand" if policy == "require" else "")
    alice.dial(gateway.uri("bob"))
    alice.established()
    bob.established()
    time.sleep(3)
    call = ask(gateway, "calls")["calls"][0]
    check(call["srtp"] == ("yes" if policy == "require" else "part"), call)
    alice.hangup()
    alice.closed()
    bob.closed()
    bench.heard(bob.dump, 440, 620, 1.5)
    bench.heard(alice.dump, 620, 440, 1.5)


@test(seconds=60)
def srtp_baresip_calls(bench):
    """baresip with SRTP only calls the echo of a gateway that requires it"""
    calls_echo(bench, "baresip", ANY, "require", MEDIAENC="srtp-mand")


@test(seconds=60)
def srtp_baresip_offers_both(bench):
    """baresip offers SRTP within RTP/AVP: it is taken"""
    calls_echo(bench, "baresip", ANY, "accept", MEDIAENC="srtp")


@test(seconds=60)
def srtp_baresip_is_called(bench):
    """a plain phone calls a baresip that takes only SRTP"""
    is_called(bench, "baresip", "prefer", MEDIAENC="srtp")


@test(seconds=60)
def srtp_both_are_protected(bench):
    """two protected baresips, each with keys of its own"""
    is_called(bench, "baresip", "require", MEDIAENC="srtp-mand")


@test(seconds=60)
def srtp_linphone_calls(bench):
    """linphone with SRTP only calls the echo of a gateway that requires it"""
    calls_echo(bench, "linphone", ANY, "require", MEDIAENC="srtp", MEDIAENC_MANDATORY=1)


@test(seconds=60)
def srtp_linphone_is_called(bench):
    """linphone is called with SRTP"""
    is_called(bench, "linphone", "require", MEDIAENC="srtp", MEDIAENC_MANDATORY=1)


@test(seconds=60)
def srtp_plain_is_refused(bench):
    """a phone without SRTP gets no call where it is required"""
    gateway = bench.gateway({"media": {"srtp": "require"}}, users=["alice"])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("echo"))
    closed = alice.closed()
    check("488" in str(closed), closed)
    check(not ask(gateway, "calls")["calls"], "there is a call")


@test(seconds=60)
def dtls_baresip_is_told(bench):
    """baresip has but an RSA certificate for DTLS-SRTP, which we cannot check: the call ends at once and says why"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.baresip("alice", gateway, MEDIAENC="dtls_srtp")
    alice.dial(gateway.uri("echo"))
    alice.closed(15)
    check("the handshake failed" in gateway.log(), "nothing says why")
    check(not ask(gateway, "calls")["calls"], "there is a call")


@test(seconds=60)
def ice_baresip_calls(bench):
    """baresip with ICE, two components, calls the echo: its checks are answered"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.baresip("alice", gateway, MEDIANAT="ice")
    alice.dial(gateway.uri("echo"))
    alice.established(20)
    time.sleep(3)
    check("the peer chose where media goes" in gateway.log(), "no check chose a pair")
    alice.hangup()
    alice.closed()
    bench.heard(alice.dump, 440, 620, 1.5)
