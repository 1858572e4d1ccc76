"""The console in a browser: each page shows what there is, without an error, wide and narrow, light and dark."""
import re
import subprocess
import time

from lib.harness import check, test

PAGES = ["overview", "calls", "users", "trunks", "log"]


def browse(bench, gateway, page, *flags):
    """Opens a page as a person would see it after some seconds; gives the document and what the browser complained of."""
    profile = bench.path(bench.unique("profile"))
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + profile,
               "--enable-logging=stderr", "--virtual-time-budget=4000", "--run-all-compositor-stages-before-draw", *flags,
               "http://127.0.0.1:%d/#%s" % (gateway.console, page)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    complaints = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
    check(not complaints, complaints)
    return run.stdout


@test(seconds=180)
def console_shows_a_call_in_a_browser(bench):
    """chromium opens every page while a phone calls the echo; a screenshot of each is kept"""
    gateway = bench.gateway(users=["alice"], trunks=[{"name": "provider", "uri": "sip:127.0.0.1:9"}])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("echo"))
    alice.established()
    time.sleep(1)
    shown = {page: browse(bench, gateway, page, "--dump-dom") for page in PAGES + ["call/c1"]}
    text = {page: re.sub(r"<[^>]*>", " ", document) for page, document in shown.items()}
    for page, words in [("calls", ["c1", "up", "alice", "echo", "pcmu"]), ("users", ["alice@", "yes"]),
                        ("trunks", ["provider", "no registration"]), ("log", ["call begins", "c1"]),
                        ("overview", ["running", "Calls so far", "Media lag"]), ("call/c1", ["Caller: ", "Received", "Level"])]:
        for word in words:
            check(word in text[page], "%r is not on the page %s: %s" % (word, page, text[page][-1500:]))
    for size in ("1280,900", "390,844"):
        for page in PAGES + ["call/c1"]:
            name = "%s-%s.png" % (page.replace("/", "-"), size.split(",")[0])
            browse(bench, gateway, page, "--screenshot=" + bench.path(name), "--window-size=" + size)
    browse(bench, gateway, "overview", "--screenshot=" + bench.path("overview-dark.png"), "--window-size=1280,900",
           "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    alice.hangup()
