"""Speech through a call: quality against the codecs' own ceiling, and G.711 bit for bit."""
import os
import time

from lib.harness import check, test, until
from lib.phone import FRAME, Phone, in_order
from lib.rtmpmini import PCMU, Client

SECONDS = 30
WITHIN = 0.3    # of MOS below the codec pair's own ceiling


def through(bench, wav, name, stages):
    """The speech after these codecs, offline: (codec of ffmpeg, rate, container, options) each."""
    path = wav
    for codec, rate, container, *options in stages:
        coded = bench.path("%s.%s" % (name, container))
        bench.run(["ffmpeg", "-nostdin", "-hide_banner", "-y", "-i", path, "-ac", 1, "-ar", rate, "-c:a", codec,
                   *options, coded])
        path = bench.decode(coded, rate)
    return path


SPEEX = ("libspeex", 16000, "spx")
G711 = ("pcm_mulaw", 8000, "wav")
# What the gateway itself encodes: media.speex_quality and media.speex_complexity by default.
NARROW = ("libspeex", 8000, "spx", "-cbr_quality", 6, "-compression_level", 1)


def compare(bench, what, reference, heard, ceiling, missing=0.3):
    """PESQ of what was heard, which must come near that of the ceiling's recording; no more is missing than so
    many seconds."""
    best = bench.quality(reference, ceiling)["pesq_nb"]
    got = bench.quality(reference, heard)
    bench.note("%s PESQ %.2f of %.2f" % (what, got["pesq_nb"], best))
    check(got.get("missing_s", 0) < missing, "%s: %g s missing" % (what, got.get("missing_s", 0)))
    check(got["pesq_nb"] >= best - WITHIN, "%s: PESQ %.2f, the codecs alone leave %.2f (%s)" % (
        what, got["pesq_nb"], best, got))


def codec_of(bench, flv):
    """The FLV audio format number of the first audio tag with data."""
    with open(flv, "rb") as file:
        data = file.read(65536)
    at = 13
    while at + 12 < len(data):
        size = int.from_bytes(data[at + 1:at + 4], "big")
        if data[at] == 8 and size > 1:
            return data[at + 11] >> 4
        at += 11 + size + 4
    check(False, "no audio in " + os.path.basename(flv))
    return None


def speech_both_ways(bench, player_kind):
    """30 s as Speex to a PCMU phone, while a player hears the phone's other speech."""
    gateway = bench.gateway()
    near, far = bench.media("near-16.wav"), bench.media("far-8.wav")
    phone = bench.baresip("phone", PLAY=bench.media("far-padded-8.wav"))
    player = bench.player(player_kind, "127.0.0.1", gateway.rtmp, "call", phone.uri)
    # What is said before the phone answers is not heard; so it answers first.
    phone.established(15)
    publisher = bench.ffmpeg_publish(near, gateway.url(phone.uri))
    publisher.finish(SECONDS + 15)
    phone_closed_by = time.monotonic() + 10
    # The call lives as long as either stream: the player still listens.
    player.end_player()
    phone.closed(max(1, phone_closed_by - time.monotonic()))
    compare(bench, "phone", near, phone.dump(), through(bench, near, "ceiling-near", [SPEEX, G711]))
    # A player that came when the call was there has missed the beginning: it is compared from there on.
    kind = codec_of(bench, player.flv)
    heard = bench.decode(player.flv, 16000)
    stages = {8: [G711], 11: [G711, NARROW], 7: [G711, ("pcm_alaw", 8000, "wav")]}
    check(kind in stages, "the player got FLV audio format %d" % kind)
    compare(bench, player_kind, far, heard, through(bench, far, "ceiling-far", stages[kind]))


@test(seconds=100)
def media_speex_to_pcmu_ffmpeg_plays(bench):
    """ffmpeg publishes Speex to baresip with PCMU; ffmpeg plays the far end"""
    speech_both_ways(bench, "ffmpeg")


@test(seconds=100)
def media_speex_to_pcmu_rtmpdump_plays(bench):
    """the same with rtmpdump as player"""
    speech_both_ways(bench, "rtmpdump")


@test(seconds=100)
def media_speex_to_pcmu_gstreamer_plays(bench):
    """the same with GStreamer's rtmp2src as player"""
    speech_both_ways(bench, "gst")


def streamed_to_pcmu(bench, codec, extra, missing=0.3):
    """30 s in a codec of streaming tools, 44.1 kHz stereo, to a phone with PCMU."""
    gateway = bench.gateway()
    near = bench.media("near-16.wav")
    phone = bench.baresip("phone", PLAY=bench.media("far-padded-8.wav"))
    # The phone answers at once; what is said before that is not heard.
    player = bench.player("ffmpeg", "127.0.0.1", gateway.rtmp, "call", phone.uri)
    phone.established(15)
    publisher = bench.ffmpeg_publish(near, gateway.url(phone.uri), codec, 44100, ("-ac", 2, *extra))
    publisher.finish(SECONDS + 15)
    player.end_player()
    phone.closed(10)
    ceiling = through(bench, near, "ceiling", [(codec, 44100, "flv", "-ac", 2, *extra), G711])
    compare(bench, codec, near, phone.dump(), ceiling, missing)


@test(seconds=100)
def media_aac_to_pcmu(bench):
    """ffmpeg publishes AAC, 44.1 kHz stereo, as OBS does; baresip hears it in PCMU"""
    streamed_to_pcmu(bench, "aac", ("-b:a", "128k"))


@test(seconds=100)
def media_mp3_to_pcmu(bench):
    """the same in MP3"""
    # LAME gives its first frames out in one burst, of which some 0.2 s are shortened to be in time.
    streamed_to_pcmu(bench, "libmp3lame", ("-b:a", "128k"), missing=0.6)


def exact_runs(source, received, what, bench):
    """Nearly all of the source is in what was received, bit for bit and in order.

    The sender's pace is that of a busy machine: where it has run ahead the gateway takes the standing delay
    out again, by a frame here or a few milliseconds there. Everything else must be untouched.
    """
    at, after, exact, runs = 0, 0, 0, 0
    while at + 64 <= len(received):
        place = source.find(received[at:at + 64], after, after + 8000 if runs else len(source))
        if place < 0:
            at += 1
            continue
        size = 64
        while at + size < len(received) and place + size < len(source) and received[at + size] == source[place + size]:
            size += 1
        at, after, exact, runs = at + size, place + size, exact + size, runs + 1
    bench.note("%s: %.2f %% of %d bytes bit-exact, in %d pieces" % (what, 100 * exact / len(source), len(source), runs))
    check(exact >= 0.97 * len(source) and runs <= 25, "%s: %d of %d bytes bit-exact, in %d pieces" % (
        what, exact, len(source), runs))


@test(seconds=100, alone=True)
def media_pcmu_bit_exact_ffmpeg(bench):
    """ffmpeg publishes PCMU, ffmpeg plays PCMU: the payload bytes are untouched both ways"""
    near, far = (open(bench.media(name), "rb").read() for name in ("near-u.raw", "far-u.raw"))
    gateway = bench.gateway()
    phone = Phone(bench, play=far)
    player = bench.player("ffmpeg", "127.0.0.1", gateway.rtmp, "call", phone.uri())
    phone.leg()
    publisher = bench.ffmpeg_publish(bench.media("near-8.wav"), gateway.url(phone.uri()), "pcm_mulaw", 8000)
    publisher.finish(SECONDS + 15)
    time.sleep(1)
    player.end_player()
    phone.wait_ended()
    # ffmpeg's own mu-law table differs from sox's: the reference is what ffmpeg sent.
    sent = bench.path("sent.ul")
    bench.run(["ffmpeg", "-nostdin", "-hide_banner", "-y", "-i", bench.media("near-8.wav"), "-c:a", "pcm_mulaw",
               "-f", "mulaw", sent])
    near = open(sent, "rb").read()
    exact_runs(near, b"".join(in_order(phone.legs[0])), "to the phone", bench)
    check(codec_of(bench, player.flv) == 8, "the player was not given PCMU")
    played = bench.path("played.ul")
    bench.run(["ffmpeg", "-nostdin", "-hide_banner", "-y", "-i", player.flv, "-c:a", "copy", "-f", "mulaw", played])
    exact_runs(far, open(played, "rb").read(), "to the player", bench)


@test(seconds=60, alone=True)
def media_pcmu_bit_exact_messages(bench):
    """PCMU in RTMP messages and RTP packets, each as it was sent, both ways"""
    near, far = (open(bench.media(name), "rb").read()[:FRAME * 400] for name in ("near-u.raw", "far-u.raw"))
    gateway = bench.gateway()
    phone = Phone(bench, play=far)
    client = Client(gateway.rtmp)
    client.play(phone.uri())
    phone.leg()
    stream = client.publish(phone.uri())
    begun = time.monotonic()
    for n in range(400):
        time.sleep(max(0, begun + n * 0.02 - time.monotonic()))
        client.send_audio(stream, PCMU, near[n * FRAME:(n + 1) * FRAME], n * 20)
    time.sleep(0.5)
    client.close()
    phone.wait_ended()
    exact_runs(near, b"".join(in_order(phone.legs[0])), "to the phone", bench)
    check({a[1] >> 4 for a in client.audio} == {8}, "formats %s" % {a[1] for a in client.audio})
    exact_runs(far, b"".join(a[2] for a in client.audio), "to the client", bench)


@test(seconds=60)
def media_live_relay(bench):
    """plain live: ffmpeg publishes, ffmpeg, rtmpdump and GStreamer play, the data is untouched"""
    gateway = bench.gateway()
    publisher = bench.ffmpeg_publish(bench.media("near-16.wav"), gateway.url("talk", "live"), extra=["-t", "8"])
    until(lambda: "Output #0" in publisher.log() or not publisher.running(), 10, "ffmpeg does not publish")
    time.sleep(1)
    players = [bench.player(kind, "127.0.0.1", gateway.rtmp, "live", "talk") for kind in ("ffmpeg", "rtmpdump", "gst")]
    publisher.finish(20)
    time.sleep(0.5)
    reference = through(bench, bench.media("near-16.wav"), "offline", [SPEEX])
    for player in players:
        player.end_player()
        got = bench.quality(reference, bench.decode(player.flv, 16000))
        bench.note("%s PESQ %.2f" % (player.name, got["pesq_nb"]))
        check(got["pesq_nb"] > 4.2 and got["seconds"] > 4, "%s: %s" % (player.name, got))
