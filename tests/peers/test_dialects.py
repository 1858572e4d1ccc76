"""Clients of every dialect: ours against phones, and real tools that log in as siprtmp's clients do."""
import time

from lib.harness import DOMAIN, check, test
from test_media import G711, NARROW, SPEEX, compare, through

APIS = {"siprtmp": "sip", "freeswitch": "phone", "red5phone": "sip"}


def calls_phone(bench, api, codec):
    """A client logs in as alice, calls bob's phone, and both hear the other."""
    gateway = bench.gateway(users=["alice", "bob"])
    bob = bench.baresip("bob", gateway)
    heard = bench.path("heard.wav")
    call = bench.call(gateway, "bob", "--api", api, "--codec", codec, "--user", "alice", "--password", "alicepw",
                      "--play", bench.media("tone-440-8.wav"), "--marks", "off", "--record", heard,
                      "--duration", 6, app=APIS[api])
    bob.established()
    report = call.report(40, status=0)
    check(report["frames_received"] > 100, "few frames came: %s" % report)
    bob.closed()
    bench.heard(bob.dump, 440, 620, 2.0)
    bench.heard(bench.decode(heard, 8000), 620, 440, 2.0)


@test(seconds=60)
def dialect_siprtmp_calls_phone(bench):
    """a siprtmp client registers, calls baresip, and both hear the other; Speex"""
    calls_phone(bench, "siprtmp", "speex")


@test(seconds=60)
def dialect_siprtmp_calls_phone_pcmu(bench):
    """the same with G.711"""
    calls_phone(bench, "siprtmp", "pcmu")


@test(seconds=60)
def dialect_freeswitch_calls_phone(bench):
    """a mod_rtmp client logs in by MD5, calls baresip, and both hear the other"""
    calls_phone(bench, "freeswitch", "speex")


@test(seconds=60)
def dialect_red5phone_calls_phone(bench):
    """a red5phone client opens its user, calls baresip, and both hear the other; Nellymoser"""
    calls_phone(bench, "red5phone", "nelly")


@test(seconds=60)
def dialect_wrong_password(bench):
    """a wrong password is refused in each dialect's own words"""
    gateway = bench.gateway(users=["alice", "bob"])
    for api, app in APIS.items():
        call = bench.call(gateway, "bob", "--api", api, "--user", "alice", "--password", "guess", app=app)
        call.report(20, status=1)
        check("guess" not in gateway.log(), "the password is in the log")


def rtmpdump(bench, gateway, password):
    """rtmpdump with the arguments of a siprtmp client."""
    app = "sip/alice@" + DOMAIN
    return bench.start("rtmpdump", ["rtmpdump", "-V", "--live", "-r", "rtmp://127.0.0.1:%d/%s" % (gateway.rtmp, app),
                                    "-a", app, "-C", "S:alice", "-C", "S:" + password, "-C", "S:Alice",
                                    "-y", "remote", "-o", bench.path("remote.flv")])


@test(seconds=60)
def dialect_siprtmp_rtmpdump(bench):
    """rtmpdump -C logs in as a siprtmp client does and plays `remote`; bob's call rings there; a wrong one is told why"""
    gateway = bench.gateway(users=["alice", "bob"])
    wrong = rtmpdump(bench, gateway, "guess")
    wrong.finish(20, status=None)
    check("403" in wrong.log(), "it was not told why")
    player = rtmpdump(bench, gateway, "alicepw")
    player.wait_log("NetStream.Play.Start")
    bob = bench.baresip("bob", gateway)
    bob.dial(gateway.uri("alice"))
    player.wait_log("invited")
    check(player.running(), "it left: " + player.log()[-300:])
    bob.hangup()
    player.wait_log("cancelled")
    player.end_player()


@test(seconds=60)
def dialect_siprtmp_ffmpeg(bench):
    """ffmpeg's rtmp_conn logs in as a siprtmp client does and publishes `local`; with a wrong password it does not"""
    gateway = bench.gateway(users=["alice"])
    url = "rtmp://127.0.0.1:%d" % gateway.rtmp

    def publisher(password):
        return bench.ffmpeg_publish(
            bench.media("tone-440-8.wav"), url, extra=[
                "-t", 20, "-rtmp_app", "sip/alice@" + DOMAIN, "-rtmp_playpath", "local",
                "-rtmp_conn", "S:alice S:%s S:Alice" % password])
    wrong = publisher("guess")
    wrong.finish(20, status=None)
    check("403" in wrong.log(), "it was not told why: " + wrong.log()[-300:])
    good = publisher("alicepw")
    time.sleep(4)
    check(good.running(), "it gave up: " + good.log()[-300:])
    check("size=" in good.log() or "frame" in good.log(), "nothing was sent")
    good.interrupt()


NELLY = ("nellymoser", 8000, "flv")


def speech(bench, api, codec, ceiling_near, ceiling_far):
    """30 s of speech each way between a client that has logged in and a phone with PCMU."""
    gateway = bench.gateway(users=["alice", "bob"])
    near, far = bench.media("near-16.wav"), bench.media("far-8.wav")
    bob = bench.baresip("bob", gateway, PLAY=bench.media("far-padded-8.wav"))
    heard = bench.path("heard.wav")
    call = bench.call(gateway, "bob", "--api", api, "--codec", codec, "--user", "alice", "--password", "alicepw",
                      "--play", near, "--marks", "off", "--record", heard, app=APIS[api])
    bob.established()
    call.report(60, status=0)
    bob.closed()
    compare(bench, "phone", near, bob.dump(), through(bench, near, "ceiling-near", ceiling_near))
    compare(bench, "client", far, heard, through(bench, far, "ceiling-far", ceiling_far))


@test(seconds=120)
def dialect_siprtmp_speech_speex(bench):
    """speech both ways between a siprtmp client with Speex and baresip: PESQ near what the codecs leave"""
    speech(bench, "siprtmp", "speex", [SPEEX, G711], [G711, NARROW])


@test(seconds=120)
def dialect_siprtmp_speech_pcmu(bench):
    """the same with G.711 all the way"""
    speech(bench, "siprtmp", "pcmu", [G711], [G711])


@test(seconds=120)
def dialect_freeswitch_speech(bench):
    """the same with a mod_rtmp client"""
    speech(bench, "freeswitch", "speex", [SPEEX, G711], [G711, NARROW])


@test(seconds=120)
def dialect_red5phone_speech(bench):
    """the same with a red5phone client: Nellymoser at 8 kHz"""
    speech(bench, "red5phone", "nelly", [NELLY, G711], [G711, NELLY])


def through_kamailio(bench, api, codec):
    """A client's own account at kamailio: registered there, and calls through it."""
    kamailio = bench.kamailio()
    gateway = bench.gateway({"sip": {"domain": "gateway.invalid"},
                             "sip.accounts": {"external": "open", "proxy": "sip:127.0.0.1:%d" % kamailio.sip}})
    bob = bench.baresip("bob", kamailio)
    heard = bench.path("heard.wav")
    call = bench.call(gateway, "bob", "--api", api, "--codec", codec, "--user", "alice@" + DOMAIN,
                      "--password", "alicepw", "--play", bench.media("tone-440-8.wav"), "--marks", "off",
                      "--record", heard, "--duration", 6, app=APIS[api])
    bob.established()
    call.report(40, status=0)
    bob.closed()
    bench.heard(bob.dump, 440, 620, 2.0)
    bench.heard(bench.decode(heard, 8000), 620, 440, 2.0)
    wrong = bench.call(gateway, "bob", "--api", api, "--user", "alice@" + DOMAIN, "--password", "guess", app=APIS[api])
    report = wrong.report(20, status=1)
    check("40" in str(report), "it was not told why: %s" % report)


@test(seconds=60)
def dialect_siprtmp_through_kamailio(bench):
    """a siprtmp client's account is registered at kamailio, and calls baresip through it; a wrong password is refused"""
    through_kamailio(bench, "siprtmp", "speex")


@test(seconds=60)
def dialect_red5phone_through_kamailio(bench):
    """the same for red5phone"""
    through_kamailio(bench, "red5phone", "nelly")
