"""SIP phones as users of the gateway: they register, call and are called, and every ending is right on both sides."""
import re
import subprocess
import time

from lib import tones
from lib.harness import Failure, check, test, until
from lib.phone import FRAME, Phone
from lib.rtmpmini import PCMU, Client, Meter

# An onStatus that ends a stream.
ENDS = re.compile(r"NetStream\.(Publish\.(BadName|Denied|Failed|Rejected|Idle)|Play\.(Stop|Complete|Failed|"
                  r"StreamNotFound|UnpublishNotify)|Unpublish\.Success|Failed)")


def phones(bench, kind, gateway, name, **env):
    return getattr(bench, kind)(name, gateway, **env)


def hangs_up_itself(bench, caller, listener=None):
    caller.hangup()
    caller.closed()


def wait_end(client, stream, text="", seconds=10.0):
    """The client is told that the stream is over, with this in the description or code."""
    def there():
        for event in list(client.events):
            if event[0] == "status" and event[1] == stream and ENDS.match(str(event[2].get("code"))) and \
                    text in "%s %s" % (event[2].get("code"), event[2].get("description", "")):
                return event[2]
        return None
    return until(there, seconds, lambda: "stream %d was not ended with %r: %s" % (
        stream, text, [e for e in client.events if e[0] == "status"]))


def tone_frames(seconds, hz):
    """PCMU of a tone, in frames."""
    raw = subprocess.run(["sox", "-D", "-n", "-r", "8000", "-c", "1", "-t", "ul", "-", "synth", str(seconds), "sine",
                          str(hz), "gain", "-12"], check=True, capture_output=True).stdout
    return [raw[n:n + FRAME] for n in range(0, len(raw) - FRAME + 1, FRAME)]


def publish_tone(client, stream, seconds=3.0, hz=440):
    begun = time.monotonic()
    for n, frame in enumerate(tone_frames(seconds, hz)):
        time.sleep(max(0, begun + n * 0.02 - time.monotonic()))
        client.send_audio(stream, PCMU, frame, n * 20)


def heard_by(bench, client, name="client"):
    """What a client was sent, as a WAV: whatever the codec, by way of an FLV file."""
    path = bench.path(name + ".flv")
    with open(path, "wb") as file:
        file.write(b"FLV\1\4\0\0\0\x09\0\0\0\0")
        for timestamp, tag, payload, _arrival in list(client.audio):
            body = bytes([tag]) + payload
            file.write(b"\x08" + len(body).to_bytes(3, "big") + (timestamp & 0xffffff).to_bytes(3, "big") +
                       bytes([timestamp >> 24 & 255]) + b"\0\0\0" + body + (11 + len(body)).to_bytes(4, "big"))
    return bench.decode(path, 8000)


# ------------------------------------------------------------ a phone calls

def calls_echo(bench, kind):
    gateway = bench.gateway(users=["alice"])
    alice = phones(bench, kind, gateway, "alice")
    alice.dial(gateway.uri("echo"))
    alice.established()
    time.sleep(3)
    alice.hangup()
    alice.closed()
    bench.heard(alice.dump, 440, 620, 1.5)


def calls_tone(bench, kind):
    gateway = bench.gateway(users=["alice"])
    alice = phones(bench, kind, gateway, "alice")
    alice.dial(gateway.uri("tone"))
    alice.established()
    time.sleep(3)
    alice.hangup()
    alice.closed()

    def steady():
        """The loudest part of what it heard is one tone, and not its own."""
        try:
            rate, data = tones.read(alice.dump())
        except (OSError, EOFError, Failure, tones.wave.Error):
            return False
        size = rate // 50
        frames = [data[n:n + size] for n in range(0, len(data) - size + 1, size)]
        for hz in (425, 440, 400, 480, 500, 800, 1000, 1004):
            hits = sum(tones.share(frame, rate, hz) > 0.6 for frame in frames)
            if hits > 75:
                return hz
        return False
    bench.note("%d Hz" % until(steady, 5, "no tone was heard"))


def calls_another(bench, kind, other):
    gateway = bench.gateway(users=["alice", "bob"])
    bob = phones(bench, other, gateway, "bob")
    alice = phones(bench, kind, gateway, "alice")
    alice.dial(gateway.uri("bob"))
    alice.established()
    bob.established()
    time.sleep(3)
    alice.hangup()
    alice.closed()
    bob.closed()
    bench.heard(bob.dump, 440, 620, 1.5)
    bench.heard(alice.dump, 620, 440, 1.5)


def calls_listener(bench, kind):
    """A phone calls a name that an RTMP client plays and another publishes."""
    gateway = bench.gateway(users=["alice"])
    listener = Client(gateway.rtmp, "live")
    listener.play("studio")
    alice = phones(bench, kind, gateway, "alice")
    alice.dial(gateway.uri("studio"))
    alice.established()
    until(lambda: len(listener.audio) > 100, 8, lambda: "the listener got %d messages" % len(listener.audio))
    publisher = Client(gateway.rtmp, "live")
    stream = publisher.publish("studio")
    publish_tone(publisher, stream, 3, 620)
    alice.hangup()
    alice.closed()
    bench.heard(heard_by(bench, listener), 440, None, 1.5)
    bench.heard(alice.dump, 620, None, 1.5)


# ------------------------------------------------------------ a phone is called

def called_from_rtmp(bench, kind, who_ends):
    gateway = bench.gateway(users=["alice"])
    alice = phones(bench, kind, gateway, "alice")
    client = Client(gateway.rtmp)
    play = client.play("alice")
    stream = client.publish("alice")
    alice.established()
    publish_tone(client, stream, 3, 620)
    if who_ends == "phone":
        alice.hangup()
        wait_end(client, stream)
        wait_end(client, play)
    elif who_ends == "client":
        client.delete_stream(stream)
        time.sleep(0.7)
        if kind == "baresip":
            alice.no_event("CALL_CLOSED", 0.3)    # the player still listens
        client.delete_stream(play)
    else:
        client.close()
    alice.closed()
    bench.heard(alice.dump, 620, 440, 1.5)
    bench.heard(heard_by(bench, client), 440, 620, 1.5)


for _kind in ("baresip", "linphone"):
    for _name, _function, _args in [
            ("calls_echo", calls_echo, ()), ("calls_tone", calls_tone, ()),
            ("calls_baresip", calls_another, ("baresip",)),
            ("calls_a_listener", calls_listener, ()),
            ("called_and_hangs_up", called_from_rtmp, ("phone",)),
            ("called_client_hangs_up", called_from_rtmp, ("client",)),
            ("called_client_vanishes", called_from_rtmp, ("nobody",))]:
        def _run(bench, function=_function, kind=_kind, args=_args):
            function(bench, kind, *args)
        _run.__name__ = "phone_%s_%s" % (_kind, _name)
        _run.__doc__ = "%s registered with digest: %s" % (_kind, _name.replace("_", " "))
        test(seconds=60)(_run)


@test(seconds=60)
def phone_baresip_over_tcp(bench):
    """baresip registers over TCP and is called there"""
    gateway = bench.gateway(users=["alice", "bob"])
    alice = bench.baresip("alice", gateway, TRANSPORT="tcp")
    bob = bench.baresip("bob", gateway)
    bob.dial(gateway.uri("alice"))
    bob.established()
    alice.established()
    time.sleep(2)
    alice.hangup()
    bob.closed()
    bench.heard(bob.dump, 440, 620, 1.0)


@test(seconds=60)
def phone_linphone_speex(bench):
    """linphone with Speex wideband, called by ffmpeg with Speex: hears it"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.linphone("alice", gateway, CODECS="speex/16000")
    publisher = bench.ffmpeg_publish(bench.media("near-16.wav"), gateway.url("alice"), extra=["-t", "12"])
    alice.established(15)
    publisher.finish(25)
    alice.closed()
    time.sleep(1)
    # The codec's own ceiling: the same Speex, encoded and decoded offline.
    said = bench.cut(bench.media("near-16.wav"), 11)
    coded = bench.path("ceiling.spx")
    bench.run(["ffmpeg", "-nostdin", "-y", "-i", said, "-c:a", "libspeex", coded])
    best = bench.quality(said, bench.decode(coded, 16000))["pesq_nb"]
    got = bench.quality(said, alice.dump())
    bench.note("PESQ %.2f of %.2f" % (got["pesq_nb"], best))
    check(got["pesq_nb"] >= best - 0.3, str(got))


@test(seconds=60)
def phone_all_bindings_ring(bench):
    """two phones of one user ring; the first to answer has the call, the other stops"""
    gateway = bench.gateway(users=["alice"])
    slow = Phone(bench, ring=20)
    check(slow.register(gateway, "alice", "alicepw") == 200, "not registered")
    quick = Phone(bench, ring=0.6, echo=True)
    check(quick.register(gateway, "alice", "alicepw") == 200, "not registered")
    client = Client(gateway.rtmp)
    meter = Meter(client, "alice")
    meter.wait_first()
    slow.wait_ended(5)
    check(slow.legs[-1].ended_by_peer, "the other phone was not cancelled")
    client.close()
    quick.wait_ended()


# ------------------------------------------------------------ endings

def refused(bench, status, text=None, **options):
    """A callee that refuses: the RTMP client is told, and `flashgate call` says so."""
    gateway = bench.gateway()
    phone = Phone(bench, status=status, **options)
    client = Client(gateway.rtmp)
    play = client.play(phone.uri(), wait=False)
    stream = client.publish(phone.uri(), wait=False)
    wait_end(client, stream, text or str(status))
    wait_end(client, play)
    check(len(phone.legs) == 1, "called %d times" % len(phone.legs))
    report = bench.call(gateway, phone.uri(), "--duration", 5).report(20)
    check(report["status"].startswith(str(status)) and report["failed"], "flashgate call says %s" % report)


@test(seconds=60)
def phone_busy_is_told(bench):
    """486 from the phone ends the RTMP streams with it"""
    refused(bench, 486)


@test(seconds=60)
def phone_decline_is_told(bench):
    """603 from the phone ends the RTMP streams with it"""
    refused(bench, 603)


@test(seconds=60)
def phone_unavailable_is_told(bench):
    """480 from the phone ends the RTMP streams with it"""
    refused(bench, 480)


@test(seconds=60)
def phone_no_answer(bench):
    """a phone that never answers is cancelled after sip.ring_timeout, and the client told"""
    gateway = bench.gateway({"sip": {"ring_timeout": "3s"}})
    phone = Phone(bench, status=None)
    client = Client(gateway.rtmp)
    stream = client.publish(phone.uri(), wait=False)
    begun = time.monotonic()
    wait_end(client, stream)
    check(2.5 < time.monotonic() - begun < 6, "after %.1f s" % (time.monotonic() - begun))
    phone.wait_ended()
    check(phone.legs[-1].ended_by_peer, "no CANCEL")


@test(seconds=60)
def phone_caller_cancels(bench):
    """an RTMP client that leaves while it rings makes a CANCEL; the ringing phone stops"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.baresip("alice", gateway, ANSWER="manual")
    client = Client(gateway.rtmp)
    client.publish("alice", wait=False)
    alice.event("CALL_INCOMING")
    client.close()
    alice.closed()
    phone = Phone(bench, status=None)
    client = Client(gateway.rtmp)
    stream = client.publish(phone.uri(), wait=False)
    until(lambda: phone.legs, 5, "not called")
    time.sleep(0.5)
    client.delete_stream(stream)
    phone.wait_ended()
    check(phone.legs[-1].ended_by_peer, "no CANCEL")


@test(seconds=60)
def phone_decline_by_hand(bench):
    """baresip declines by hand: the caller, a phone or a client, is told"""
    gateway = bench.gateway(users=["alice", "bob"])
    alice = bench.baresip("alice", gateway, ANSWER="manual")
    bob = bench.baresip("bob", gateway)
    bob.dial(gateway.uri("alice"))
    alice.event("CALL_INCOMING")
    alice.hangup()
    closed = bob.closed()
    check(re.search("486|603|480", closed.get("param", "")), "bob was told %s" % closed)
    client = Client(gateway.rtmp)
    stream = client.publish("alice", wait=False)
    alice.event("CALL_INCOMING")
    alice.hangup()
    wait_end(client, stream)


@test(seconds=60)
def phone_phone_cancels(bench):
    """a phone that gives up while another rings: the other stops ringing"""
    gateway = bench.gateway(users=["alice", "bob"])
    alice = bench.baresip("alice", gateway, ANSWER="manual")
    bob = bench.baresip("bob", gateway)
    bob.dial(gateway.uri("alice"))
    alice.event("CALL_INCOMING")
    time.sleep(0.5)
    bob.hangup()
    alice.closed()


@test(seconds=60)
def phone_nobody_there(bench):
    """an unknown name: 404 or 480 for a phone, the same told to a client"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("nobody"))
    closed = alice.closed()
    check(re.search("404|480", closed.get("param", "")), "alice was told %s" % closed)
    client = Client(gateway.rtmp)
    stream = client.publish("nobody", wait=False)
    wait_end(client, stream)


def wrong_password(bench, kind):
    gateway = bench.gateway(users=["alice"])
    alice = phones(bench, kind, gateway, "alice", PASSWORD="wrong", WAIT=False)
    if kind == "baresip":
        alice.process.wait_log("401 Unauthorized") if "403" not in alice.process.log() else None
        time.sleep(1)
        check("200 OK" not in alice.process.log(), "it was let in")
    else:
        alice.wait_trace("LinphoneRegistrationFailed")
        check("LinphoneRegistrationOk" not in open(alice.trace, errors="replace").read(), "it was let in")
    phone = Phone(bench)
    check(phone.register(gateway, "alice", "wrong") in (401, 403), "the phone was let in")
    check(phone.register(gateway, "nobody", "wrong") in (401, 403, 404), "a stranger was let in")
    check(phone.register(gateway, "alice", "alicepw") == 200, "the right password was refused")


@test(seconds=60)
def phone_baresip_wrong_password(bench):
    """a wrong password is refused, the right one is not"""
    wrong_password(bench, "baresip")


@test(seconds=60)
def phone_linphone_wrong_password(bench):
    """the same with linphone (SHA-256 where it is offered)"""
    wrong_password(bench, "linphone")


@test(seconds=60)
def phone_rtmp_wrong_password(bench):
    """with rtmp.access = "users" a client needs a user's name and password"""
    gateway = bench.gateway({"rtmp": {"access": "users"}}, users=["alice"])
    for query in ("", "?user=alice&pass=wrong", "?user=nobody&pass=alicepw"):
        try:
            client = Client(gateway.rtmp)
            stream = client.publish("echo" + query, wait=False)
            wait_end(client, stream)
        except Failure as refused_at_connect:
            check("refused" in str(refused_at_connect) or "lost" in str(refused_at_connect), str(refused_at_connect))
    client = Client(gateway.rtmp)
    meter = Meter(client, "echo?user=alice&pass=alicepw")
    meter.wait_first()


@test(seconds=60)
def phone_baresip_holds(bench):
    """a phone holds a Flash caller and takes it back: audio stops and comes again"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.baresip("alice", gateway)
    client = Client(gateway.rtmp)
    client.play("alice")
    stream = client.publish("alice")
    alice.established()
    publish_tone(client, stream, 1.5)
    alice.control.command("hold")
    time.sleep(1)
    alice.control.command("resume")
    time.sleep(1)
    count = len(client.audio)
    publish_tone(client, stream, 1.5)
    check(len(client.audio) - count > 40, "%d messages after the hold" % (len(client.audio) - count))
    alice.hangup()
    wait_end(client, stream)
