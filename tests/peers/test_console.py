"""The console in a browser: each page shows what there is and acts, without a complaint, wide and narrow, light and dark."""
from lib.browser import Browser
from lib.harness import check, test

PAGES = ["overview", "calls", "call/c1", "users", "trunks", "log"]


@test(seconds=120)
def console_shows_a_call_and_hangs_it_up(bench):
    """two viewers in chromium watch a phone call the echo; pictures of every page are kept; one hangs the call up"""
    gateway = bench.gateway(users=["alice"], trunks=[{"name": "provider", "uri": "sip:127.0.0.1:9"}])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("echo"))
    alice.established()
    base = "http://127.0.0.1:%d/" % gateway.console
    one, two = Browser(bench), Browser(bench)
    for browser in (one, two):
        browser.open(base)
        browser.wait("running", "Calls so far", "Media lag, worst")
    shown = {"calls": ["c1", "up", "alice", "echo", "pcmu"], "users": ["alice@", "yes"], "trunks": ["provider", "no registration"],
             "log": ["call begins", "c1"], "call/c1": ["Caller: ", "Received", "dBov"], "overview": ["running"]}
    for width, height, dark in [(1280, 900, False), (390, 844, True)]:
        one.size(width, height, dark)
        for page in PAGES:
            one.run("location.hash = '#%s'" % page)
            one.wait(*shown[page])
            one.picture(bench.path("%s-%d.png" % (page.replace("/", "-"), width)))
            wide = one.run("document.documentElement.scrollWidth - innerWidth")
            check(wide <= 0, "the page %s is %s pixels wider than %d" % (page, wide, width))
    # The other viewer hangs up, by keyboard as much as by hand: the button asks first.
    two.run("location.hash = '#call/c1'")
    two.wait("Caller: ")
    two.run("document.getElementById('hangup').click()")
    two.wait("Hang up call c1?")
    check(two.run("document.activeElement.value") == "no", "the careful answer is not the first")
    two.run("document.getElementById('sure').click()")
    two.wait("call c1 is hung up")
    alice.closed()
    one.run("location.hash = '#calls'")
    one.wait("No calls now.")
    for browser in (one, two):
        check(not browser.complaints, browser.complaints)
        browser.close()
