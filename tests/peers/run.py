#!/usr/bin/env python3
"""Tests the gateway against real programs.

  run.py [--list] [--jobs N] [--repeat N] [NAME ...]

Runs every test, or those whose name contains a NAME; each in a process of its own with free ports and a
time limit, light ones side by side. Output of all programs is kept under .run/TEST/; of a failed test the
ends of the logs are printed. $FLASHGATE names the program to test (default: what was built last).
The last line is "N passed, N failed"; the exit status is 0 when none failed.
"""
import argparse
import fcntl
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from lib import harness    # noqa: E402

RUN = os.path.join(HERE, ".run")
MEDIA = os.path.join(RUN, "media")
MODULES = sorted(name[:-3] for name in os.listdir(HERE) if name.startswith("test_") and name.endswith(".py"))
PORTS_EACH = 500
NEEDED = ["sipp", "baresip", "linphonec", "kamailio", "ffmpeg", "rtmpdump", "gst-launch-1.0", "espeak-ng", "sox"]


def load():
    for module in MODULES:
        importlib.import_module(module)
    return list(harness.TESTS.values())


def make_media():
    """Makes the signals once, and again when their script changed."""
    script = os.path.join(HERE, "media", "make-media.sh")
    with open(script, "rb") as file:
        stamp = hashlib.sha256(file.read()).hexdigest()
    os.makedirs(MEDIA, exist_ok=True)
    with open(os.path.join(MEDIA, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = os.path.join(MEDIA, "made")
        if os.path.exists(made) and open(made).read() == stamp:
            return
        subprocess.run([script, MEDIA], check=True, stderr=subprocess.DEVNULL)
        with open(made, "w") as file:
            file.write(stamp)


def run_one(name, first_port):
    """In the test's own process."""
    def ended(_signal, _frame):
        raise harness.Failure("took longer than its time limit")
    signal.signal(signal.SIGTERM, ended)
    load()
    folder = os.path.join(RUN, name)
    bench = harness.Bench(folder, MEDIA, first_port, PORTS_EACH)
    verdict = {"ok": True, "why": ""}
    try:
        harness.TESTS[name].function(bench)
        for process in bench.started:
            if isinstance(process, harness.Gateway):
                process.check_healthy()
    except Exception as why:
        text = str(why) if isinstance(why, harness.Failure) else "".join(traceback.format_exception(why))
        verdict = {"ok": False, "why": text or repr(why)}
        traceback.print_exc()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        bench.stop_all()
    verdict["notes"] = bench.notes
    with open(os.path.join(folder, "verdict.json"), "w") as file:
        json.dump(verdict, file)


def tails(folder):
    """The ends of the logs of a failed test."""
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith((".log", ".toml")) and os.path.getsize(path):
            with open(path, errors="replace") as file:
                lines = file.read().splitlines()
            yield "  --- %s (last of %d lines)" % (name, len(lines))
            yield from ("  | " + line[:300] for line in lines[-(60 if name.startswith("gateway") else 20):])


# Tests that may be tried a second time in one run.
SECOND_TRIES = 4


class Scheduler:
    def __init__(self, jobs):
        self.jobs, self.lock = jobs, threading.Condition()
        self.running, self.alone = 0, False
        self.slots, self.slot = max(2 * jobs, 8), 0
        self.base = random.randrange(10000, 32000 - self.slots * PORTS_EACH)
        self.failed, self.passed = [], []
        self.active = set()

    def enter(self, alone):
        with self.lock:
            self.lock.wait_for(lambda: not self.alone and (self.running == 0 if alone else self.running < self.jobs))
            self.running += 1
            self.alone = alone

    def leave(self):
        with self.lock:
            self.running -= 1
            self.alone = False
            self.lock.notify_all()

    def ports(self):
        with self.lock:
            while self.slot in self.active:
                self.slot = (self.slot + 1) % self.slots
            slot = self.slot
            self.active.add(slot)
            self.slot = (self.slot + 1) % self.slots
        return slot

    def run(self, test):
        self.enter(test.alone)
        slot = self.ports()
        begun = time.monotonic()
        folder = os.path.join(RUN, test.name)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            with open(os.path.join(folder, "test.log"), "w") as log:
                child = subprocess.Popen(
                    [sys.executable, __file__, "--one", test.name, str(self.base + slot * PORTS_EACH)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
                try:
                    child.wait(test.seconds)
                except subprocess.TimeoutExpired:
                    child.terminate()
                    try:
                        child.wait(15)
                    except subprocess.TimeoutExpired:
                        child.kill()
                        child.wait()
            self.end_leftovers(folder)
            verdict = {"ok": False, "why": "the test process died, see test.log", "notes": []}
            path = os.path.join(folder, "verdict.json")
            if os.path.exists(path):
                with open(path) as file:
                    verdict = json.load(file)
        finally:
            with self.lock:
                self.active.discard(slot)
            self.leave()
        self.report(test, verdict, time.monotonic() - begun, folder)

    @staticmethod
    def end_leftovers(folder):
        path = os.path.join(folder, "pids")
        if os.path.exists(path):
            with open(path) as file:
                for pid in file.read().split():
                    harness.kill_group(int(pid), folder)

    def report(self, test, verdict, seconds, folder):
        with self.lock:
            (self.passed if verdict["ok"] else self.failed).append(test.name)
            word = "ok  " if verdict["ok"] else "FAIL"
            print("%s %-44s %5.1f s  %s" % (word, test.name, seconds, "; ".join(verdict["notes"])))
            if not verdict["ok"]:
                print("  " + verdict["why"].strip().replace("\n", "\n  "))
                print("\n".join(tails(folder)))
            sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="names and what they show; and what is for later")
    parser.add_argument("--jobs", type=int, default=5, help="how many light tests at a time")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "PORT"), help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.one:
        return run_one(args.one[0], int(args.one[1]))
    tests = [t for t in load() if not args.names or any(name in t.name for name in args.names)]
    if args.list:
        for test in tests:
            print("%-44s %s" % (test.name, test.about))
        print("\nfor later:")
        for scenario, why in sys.modules["test_sipp"].LATER.items():
            print("%-44s %s" % (scenario, why))
        return 0
    missing = [p for p in NEEDED if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")]
    if missing:
        sys.exit("not installed: %s; scripts/test installs them" % " ".join(missing))
    try:
        import numpy, scipy, pesq    # noqa: F401, E401
    except ImportError as why:
        sys.exit("%s; run this by scripts/test, or with .venv/bin/python" % why)
    harness.flashgate()
    make_media()
    begun = time.monotonic()
    scheduler = Scheduler(args.jobs)
    # The long ones first, those that want the machine for themselves last.
    order = sorted(tests * args.repeat, key=lambda t: (t.alone, -t.seconds))
    threads = []
    for alone in (False, True):
        queue = [t for t in order if t.alone == alone]
        if args.repeat > 1:
            for test in queue:
                scheduler.run(test)
            continue
        lock = threading.Lock()

        def work():
            while True:
                with lock:
                    if not queue:
                        return
                    test = queue.pop(0)
                scheduler.run(test)
        threads = [threading.Thread(target=work) for _ in range(1 if alone else args.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # Real time on a shared machine: what fails beside others is tried once more with the machine to itself, and
    # the log says so. More than a few failures are no accident.
    again = sorted(set(scheduler.failed)) if args.repeat == 1 else []
    if 0 < len(again) <= SECOND_TRIES:
        print("second try, alone: " + " ".join(again))
        scheduler.failed.clear()
        for test in [t for t in tests if t.name in again]:
            scheduler.run(test)
    if scheduler.failed:
        print("failed: " + " ".join(sorted(scheduler.failed)))
    print("%.0f s" % (time.monotonic() - begun))
    print("%d passed, %d failed" % (len(scheduler.passed), len(scheduler.failed)))
    return 1 if scheduler.failed or not scheduler.passed else 0


if __name__ == "__main__":
    sys.exit(main())
