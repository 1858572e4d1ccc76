"""The peers and the harness among themselves: when these fail, the machine is at fault."""
import time

from lib.harness import check, test
from lib.phone import FRAME, Phone, in_order


@test(seconds=30)
def self_baresip_calls_phone(bench):
    """baresip calls the scripted phone; each hears the other"""
    said = open(bench.media("far-u.raw"), "rb").read()
    phone = Phone(bench, play=said)
    alice = bench.baresip("alice")
    alice.dial(phone.uri())
    alice.established()
    time.sleep(3)
    phone.hang_up()
    alice.closed()
    frames = in_order(phone.leg())
    check(len(frames) > 120 and all(len(f) == FRAME for f in frames), "%d frames" % len(frames))
    heard = bench.decode(alice.dump(), 8000)
    check(bench.quality(bench.cut(bench.media("far-8.wav"), 2.0), heard)["pesq_nb"] > 3.5, "bad speech")


@test(seconds=30)
def self_sipp_calls_phone(bench):
    """sipp's uac_basic against the scripted phone in echo mode"""
    phone = Phone(bench, echo=True)
    bench.finish_sipp(bench.sipp("uac_basic", "127.0.0.1:%d" % phone.port, ["-s", "x"]), "uac_basic")
    phone.wait_ended()
    check(len(phone.legs[-1].received) > 20, "too little RTP")


@test(seconds=30)
def self_kamailio_registers(bench):
    """the scripted phone, linphone and baresip register with digest and talk through kamailio"""
    kamailio = bench.kamailio()
    phone = Phone(bench)
    check(phone.register(kamailio, "carol", "carolpw") == 200, "carol was not let in")
    check(phone.register(kamailio, "carol", "wrong") in (401, 403), "a wrong password was let in")
    bob = bench.linphone("bob", kamailio)
    alice = bench.baresip("alice", kamailio)
    alice.dial(kamailio.uri("bob"))
    alice.established()
    time.sleep(2.5)
    alice.hangup()
    bench.heard(bob.dump(), 440, 620, 1.0)
    bench.heard(alice.dump, 620, 440, 1.0)
