"""Streams on other RTMP servers: nginx with its RTMP module, in both directions, and as client of the gateway."""
import os
import time

from lib.harness import check, test, until, wait_tcp
from test_media import G711, NARROW, SECONDS, SPEEX, compare, through

KEY = "s3cr3t"    # the name of a stream, as good as a password
MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
AAC = ("aac", 48000, "flv", "-b:a", "48k")


class Nginx:
    """nginx: `live` is recorded in its folder, `out` is pushed to the gateway's `live`, `in` pulled from there."""

    def __init__(self, bench, gateway=None):
        self.bench, self.port, self.folder = bench, bench.ports(), bench.path("nginx")
        check(os.path.exists(MODULE), "libnginx-mod-rtmp is not installed")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o777)
        relays = ""
        if gateway:
            relays = """
            application out { live on; push rtmp://127.0.0.1:%d/live; }
            application in { live on; pull rtmp://127.0.0.1:%d/live name=pulled static; }
            """ % (gateway.rtmp, gateway.rtmp)
        config = bench.path("nginx.conf")
        with open(config, "w") as file:
            file.write("""
            load_module %s;
            daemon off; master_process off; pid %s/pid; error_log stderr info;
            events { worker_connections 64; }
            rtmp { access_log off; server {
                listen 127.0.0.1:%d;
                application live { live on; record all; record_path %s; record_suffix .flv; }
                %s
            } }
            """ % (MODULE, self.folder, self.port, self.folder, relays))
        self.config = config
        self.start()

    def start(self):
        args = ["/usr/sbin/nginx", "-c", self.config, "-e", "stderr", "-p", self.folder]
        self.process = self.bench.start("nginx", args)
        wait_tcp(self.port, alive=self.process.running)

    def url(self, name, app="live"):
        return "rtmp://127.0.0.1:%d/%s/%s" % (self.port, app, name)

    def recorded(self, name):
        return os.path.join(self.folder, name + ".flv")


def remotes(*pairs):
    return {"rtmp": {"remote": [{"name": name, "url": url} for name, url in pairs]}}


def webcast(bench, codec, stages):
    """A phone's speech, published on nginx and recorded there."""
    nginx = Nginx(bench)
    prefix = "rtmp+publish;codec=%s:" % codec
    gateway = bench.gateway(remotes(("webcast", prefix + nginx.url(KEY))))
    phone = bench.baresip("phone", PLAY=bench.media("far-padded-8.wav"))
    phone.dial(gateway.uri("webcast"))
    phone.established(10)
    time.sleep(SECONDS + 2)
    phone.hangup()
    phone.closed(10)
    until(lambda: "closed stream" in nginx.process.log() or "deleteStream" in nginx.process.log(), 5,
          "nginx was not told that the stream is over")
    far = bench.media("far-8.wav")
    heard = bench.decode(nginx.recorded(KEY), 16000)
    compare(bench, codec + " at nginx", far, heard, through(bench, far, "ceiling", [G711, *stages]))
    check(KEY not in gateway.log(), "the log shows the name of the stream")


@test(seconds=100)
def outbound_call_webcast_to_nginx(bench):
    """a SIP call is published on nginx and sounds right in its recording"""
    webcast(bench, "speex", [NARROW])


@test(seconds=100)
def outbound_call_webcast_in_aac(bench):
    """the same in AAC, against ffmpeg's encoder at the same rate"""
    webcast(bench, "aac", [AAC])


@test(seconds=100)
def outbound_nginx_stream_in_a_call(bench):
    """a stream of nginx is heard by a phone"""
    nginx = Nginx(bench)
    gateway = bench.gateway(remotes(("radio", "rtmp+play:" + nginx.url("station"))))
    near = bench.media("near-16.wav")
    phone = bench.baresip("phone", PLAY=bench.media("far-padded-8.wav"))
    phone.dial(gateway.uri("radio"))
    phone.established(10)
    publisher = bench.ffmpeg_publish(near, nginx.url("station"))
    publisher.finish(SECONDS + 15)
    phone.hangup()
    phone.closed(10)
    compare(bench, "phone", near, phone.dump(), through(bench, near, "ceiling", [SPEEX, G711]))


@test(seconds=60)
def outbound_nginx_dies_and_returns(bench):
    """nginx is killed in mid-call and started again: the call goes on and is published anew"""
    nginx = Nginx(bench)
    gateway = bench.gateway(remotes(("webcast", "rtmp+publish:" + nginx.url(KEY))))
    phone = bench.baresip("alice")
    phone.dial(gateway.uri("webcast"))
    phone.established(10)
    time.sleep(2)
    nginx.process.stop(0)
    time.sleep(3)
    os.rename(nginx.recorded(KEY), nginx.recorded("first"))
    nginx.start()
    until(lambda: os.path.exists(nginx.recorded(KEY)), 10, "the stream did not come back")
    time.sleep(4)
    phone.hangup()
    phone.closed(10)
    bench.heard(bench.decode(nginx.recorded(KEY), 16000), 440, wait=0)


@test(seconds=40)
def outbound_nobody_there(bench):
    """a server that is not there refuses the call at once, and nothing else suffers"""
    gateway = bench.gateway(remotes(("webcast", "rtmp+publish:rtmp://127.0.0.1:9/live/key"),
                                    ("nowhere", "rtmp+play:rtmp://nowhere.invalid/live/key")))
    for name in ("webcast", "nowhere"):
        report = bench.call(gateway, name, "--duration", "3").report(20)
        check(report["status"].startswith("503"), report)


@test(seconds=100)
def outbound_nginx_pushes_to_us(bench):
    """nginx pushes a stream to the gateway's live application"""
    gateway = bench.gateway()
    nginx = Nginx(bench, gateway)
    near = bench.media("near-16.wav")
    player = bench.player("ffmpeg", "127.0.0.1", gateway.rtmp, "live", "pushed")
    publisher = bench.ffmpeg_publish(near, nginx.url("pushed", "out"))
    publisher.finish(SECONDS + 15)
    player.end_player()
    heard = bench.decode(player.flv, 16000)
    compare(bench, "pushed", near, heard, through(bench, near, "ceiling", [SPEEX]), missing=1.5)


@test(seconds=100)
def outbound_nginx_pulls_from_us(bench):
    """nginx pulls a stream from the gateway's live application"""
    gateway = bench.gateway()
    near = bench.media("near-16.wav")
    nginx = Nginx(bench, gateway)
    player = bench.player("ffmpeg", "127.0.0.1", nginx.port, "in", "pulled")
    publisher = bench.ffmpeg_publish(near, gateway.url("pulled", "live"))
    publisher.finish(SECONDS + 15)
    player.end_player()
    heard = bench.decode(player.flv, 16000)
    compare(bench, "pulled", near, heard, through(bench, near, "ceiling", [SPEEX]), missing=1.5)
