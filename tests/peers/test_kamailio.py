"""kamailio as registrar and proxy: the gateway registers there, calls through it and is called."""
import time

from lib.harness import check, test, until
from lib.phone import Phone
from lib.rtmpmini import Client, Meter

USERS = "echo:echopw alice:alicepw bob:bobpw 200:200pw"
TRUNK = {"name": "proxy", "username": "echo", "password": "echopw", "register": True, "expires": "60s"}


def trunk(kamailio, **more):
    return dict(TRUNK, uri="sip:127.0.0.1:%d" % kamailio.sip, **more)


def behind(bench, realm="test.invalid", **env):
    kamailio = bench.kamailio(USERS=USERS, **env)
    gateway = bench.gateway({"sip": {"domain": "gateway.invalid"}}, users=["alice"],
                            trunks=[trunk(kamailio, realm=realm)],
                            routes=[{"match": "2[0-9]*", "to": ["proxy"]}])
    return kamailio, gateway


@test(seconds=60)
def kamailio_call_through_it(bench):
    """a Flash client's call goes by a route through kamailio, with digest, to a phone registered there"""
    kamailio, gateway = behind(bench)
    phone = Phone(bench, echo=True)
    check(phone.register(kamailio, "200", "200pw") == 200, "the phone is not registered")
    client = Client(gateway.rtmp)
    meter = Meter(client, "200?user=alice&pass=alicepw")
    meter.wait_first()
    time.sleep(2)
    client.close()
    phone.wait_ended()
    check(phone.legs[-1].invite.all("via")[0].find(str(kamailio.sip)) > 0, "the call did not come through kamailio")
    check(len(meter.delays) > 60, "%d frames came back" % len(meter.delays))


@test(seconds=60)
def kamailio_baresip_behind_it(bench):
    """the same with baresip: tones both ways, baresip hangs up"""
    kamailio, gateway = behind(bench)
    bob = bench.baresip("bob", kamailio, AOR="sip:200@127.0.0.1:%d" % kamailio.sip, PASSWORD="200pw")
    call = bench.call(gateway, "200", "--user", "alice", "--password", "alicepw", "--marks", "off", "--play", bench.media("tone-440-8.wav"), "--record",
                      bench.path("heard.wav"), "--duration", 20)
    bob.established()
    time.sleep(4)
    bob.hangup()
    call.report(15)
    bench.heard(bob.dump, 440, 620, 1.5)
    bench.heard(bench.path("heard.wav"), 620, 440, 1.5)


@test(seconds=60)
def kamailio_registered_and_called(bench):
    """the gateway keeps a registration at kamailio and takes the call that comes for it"""
    kamailio, _gateway = behind(bench)
    time.sleep(1)
    bob = bench.baresip("bob", kamailio)

    def answered():
        bob.dial(kamailio.uri("echo"))
        return bob.control.wait("CALL_ESTABLISHED", 2)
    until(answered, 10, "the call to the gateway's registration was not answered")
    time.sleep(3)
    bob.hangup()
    bob.closed()
    bench.heard(bob.dump, 620, 440, 1.5)


@test(seconds=60)
def kamailio_sha256(bench):
    """kamailio challenges with SHA-256 and qop: registration and call"""
    kamailio, gateway = behind(bench, SHA256=1, QOP=1)
    phone = Phone(bench, echo=True)
    check(phone.register(kamailio, "200", "200pw") == 200, "the phone is not registered")
    meter = Meter(Client(gateway.rtmp), "200?user=alice&pass=alicepw")
    meter.wait_first()


@test(seconds=60)
def kamailio_wrong_password(bench):
    """a refused digest: the client is told, nothing loops"""
    kamailio = bench.kamailio(USERS=USERS)
    gateway = bench.gateway(users=["alice"], trunks=[dict(trunk(kamailio), password="wrong", register=False)],
                            routes=[{"match": "2[0-9]*", "to": ["proxy"]}])
    from test_phones import wait_end
    client = Client(gateway.rtmp)
    stream = client.publish("200?user=alice&pass=alicepw", wait=False)
    wait_end(client, stream)


@test(seconds=60)
def kamailio_no_route_for_strangers(bench):
    """a client that has not logged in never reaches the trunk"""
    kamailio, gateway = behind(bench)
    phone = Phone(bench, echo=True)
    check(phone.register(kamailio, "200", "200pw") == 200, "the phone is not registered")
    from test_phones import wait_end
    client = Client(gateway.rtmp)
    stream = client.publish("200", wait=False)
    wait_end(client, stream)
    check(not phone.legs, "a stranger reached the trunk")
