"""SIP over TLS: kamailio as trunk, baresip as phone; certificates checked, connections used again."""
import os
import shutil
import time

from lib.certs import Authority
from lib.harness import check, test, until, wait_tcp
from lib.phone import Phone

TRUNK = {"name": "proxy", "username": "echo", "password": "echopw", "register": True, "expires": "60s",
         "realm": "test.invalid"}


def kamailio_with(bench, authority):
    """kamailio with a certificate of this authority; .tls is its port."""
    folder = bench.path("kamailio")
    os.makedirs(folder, exist_ok=True)
    for made, name in zip(authority.issue("kamailio"), ("cert.pem", "key.pem")):
        shutil.copy(made, os.path.join(folder, name))
    port = bench.ports()
    kamailio = bench.kamailio(USERS="echo:echopw alice:alicepw bob:bobpw 200:200pw", TLS_PORT=port)
    wait_tcp(port, alive=kamailio.process.running)
    kamailio.tls = port
    return kamailio


def behind(bench, kamailio, trust):
    return bench.gateway({"sip": {"domain": "gateway.invalid"}, "tls": {"trust": trust}}, users=["alice"],
                         trunks=[dict(TRUNK, uri="sip:127.0.0.1:%d;transport=tls" % kamailio.tls)],
                         routes=[{"match": "2[0-9]*", "to": ["proxy"]}])


@test(seconds=60)
def tls_trunk(bench):
    """the gateway registers at kamailio over TLS, without a certificate of its own; calls pass both ways on that connection"""
    authority = Authority(bench.folder)
    kamailio = kamailio_with(bench, authority)
    gateway = behind(bench, kamailio, authority.ca)
    phone = Phone(bench, echo=True)
    check(phone.register(kamailio, "200", "200pw") == 200, "the phone is not registered")
    call = bench.call(gateway, "200", "--user", "alice", "--password", "alicepw", "--duration", 5)
    report = call.report(20)
    check(report["status"].startswith("200"), "%s" % report)
    phone.wait_ended()
    # The other way: a phone of kamailio's calls the account that the gateway has registered.
    bob = bench.baresip("bob", kamailio)
    bob.dial("sip:echo@127.0.0.1:%d" % kamailio.sip)
    bob.established()
    time.sleep(3)
    bob.hangup()
    bench.heard(bob.dump, 620, None, 1.5)
    # One connection carried it all.
    lines = [line for line in open("/proc/net/tcp") if line.split()[3] == "01"
             and int(line.split()[2].split(":")[1], 16) == kamailio.tls]
    check(len(lines) == 1, "%d connections to kamailio" % len(lines))


@test(seconds=60)
def tls_trunk_of_another(bench):
    """a trunk whose certificate is another authority's is not talked to"""
    kamailio = kamailio_with(bench, Authority(bench.folder))
    gateway = behind(bench, kamailio, Authority(bench.path("other")).ca)
    gateway.wait_log("no connection")
    check("invalid peer certificate" in gateway.log(), "not for its certificate")
    call = bench.call(gateway, "200", "--user", "alice", "--password", "alicepw", "--duration", 5)
    report = call.report(40)
    check(report["status"].startswith("503"), "%s" % report)


@test(seconds=60)
def tls_phone(bench):
    """baresip registers over TLS, calls the echo and is called by a Flash client"""
    authority = Authority(bench.folder)
    certificate, key = authority.issue("gateway")
    port = bench.ports()
    gateway = bench.gateway({"sip": {"tls": ["127.0.0.1:%d" % port]}, "rtmp": {"tls": []},
                             "tls": {"certificate": certificate, "key": key}}, users=["alice"])
    wait_tcp(port, alive=gateway.running)
    alice = bench.baresip("alice", gateway, AOR="sip:alice@127.0.0.1:%d" % port, TRANSPORT="tls", TLS=1)
    alice.dial("sip:echo@127.0.0.1:%d;transport=tls" % port)
    alice.established()
    time.sleep(3)
    alice.hangup()
    alice.closed()
    bench.heard(alice.dump, 440, 620, 1.5)
    call = bench.call(gateway, "alice", "--user", "alice", "--password", "alicepw", "--marks", "off", "--duration", 6,
                      "--play", bench.media("tone-620-8.wav"), "--record", bench.path("heard.wav"))
    alice.established()
    call.report(20)
    bench.heard(alice.dump, 620, 440, 1.5)
    bench.heard(bench.path("heard.wav"), 440, 620, 1.5)
    until(lambda: "SIP on TLS" in gateway.log(), 5, "no TLS listener")
