"""What every test uses: ports, processes, the gateway and the peers around it.

A test runs in a process of its own and gets a Bench. All that the bench starts writes its output to
the test's folder and is ended, with all its children, when the test ends, however it ends.
"""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import wave

from lib import tones
from lib.ctl import Control

PEERS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = os.path.dirname(os.path.dirname(PEERS))
PASSWORDS = {"alice": "alicepw", "bob": "bobpw", "carol": "carolpw", "dave": "davepw"}
DOMAIN = "test.invalid"
TESTS = {}


class Failure(AssertionError):
    """The test saw something else than it should."""


def check(condition, text):
    if not condition:
        raise Failure(text)


class Test:
    def __init__(self, function, seconds, alone):
        self.name, self.function, self.seconds, self.alone = function.__name__, function, seconds, alone
        self.about = (function.__doc__ or "").strip().split("\n")[0]


def test(seconds=60, alone=False):
    """Registers a test: its time limit in seconds, and whether it needs the machine for itself."""
    def add(function):
        check(function.__name__ not in TESTS, "two tests named " + function.__name__)
        TESTS[function.__name__] = Test(function, seconds, alone)
        return function
    return add


def until(condition, seconds, text):
    """Waits until condition() is true and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, text() if callable(text) else text)
        time.sleep(0.03)


def flashgate():
    """The gateway's program: $FLASHGATE, or what was built last."""
    named = os.environ.get("FLASHGATE")
    if named:
        return named
    built = [os.path.join(TOP, "target", kind, "flashgate") for kind in ("release", "debug")]
    built = [path for path in built if os.path.exists(path)]
    check(built, "flashgate is not built: cargo build --release")
    return max(built, key=os.path.getmtime)


class Process:
    """A program with its output in a file."""

    def __init__(self, bench, name, args, env=None, stdin=subprocess.DEVNULL, cwd=None, split=False):
        self.name = name
        self.log_path = bench.path(name + ".log")
        self.out_path = bench.path(name + ".out") if split else self.log_path
        self.folder = bench.folder
        environment = dict(os.environ, PEERS_TEST=bench.folder)
        environment.update({key: str(value) for key, value in (env or {}).items()})
        with open(self.log_path, "wb") as log, open(self.out_path, "ab") as out:
            self.child = subprocess.Popen([str(arg) for arg in args], stdin=stdin,
                                          stdout=out if split else log, stderr=log, env=environment,
                                          cwd=cwd, start_new_session=True)
        with open(bench.path("pids"), "a") as pids:
            pids.write("%d\n" % self.child.pid)

    @property
    def pid(self):
        return self.child.pid

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def out(self):
        with open(self.out_path, errors="replace") as file:
            return file.read()

    def running(self):
        return self.child.poll() is None

    def wait_log(self, text, seconds=10.0):
        until(lambda: text in self.log(), seconds, "%s never said %r" % (self.name, text))

    def say(self, line):
        self.child.stdin.write((line + "\n").encode())
        self.child.stdin.flush()

    def finish(self, seconds=60.0, status=0):
        """Waits for the end; any of the exit statuses if status is None."""
        try:
            got = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure("%s did not end within %g s" % (self.name, seconds)) from None
        check(status is None or got == status, "%s ended with status %d" % (self.name, got))
        return got

    def interrupt(self, sign=signal.SIGINT):
        if self.running():
            self.child.send_signal(sign)

    def end_player(self):
        """Ends a player. ffmpeg leaves a read that brings nothing only at the second signal."""
        for _ in range(2):
            self.interrupt()
            try:
                return self.child.wait(1.0)
            except subprocess.TimeoutExpired:
                pass
        return self.finish(8, status=None)

    def stop(self, grace=4.0):
        if self.child.stdin:
            try:
                self.child.stdin.write(b"terminate\nquit\n")
                self.child.stdin.close()
            except (OSError, ValueError):
                pass
        elif self.running():
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(grace)
        except subprocess.TimeoutExpired:
            pass
        kill_group(self.child.pid, self.folder)
        self.child.wait()


def kill_group(pid, folder):
    """Ends what is left of a process group. Numbers are used again: only what belongs to this test is touched."""
    mark = ("PEERS_TEST=" + folder).encode()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.getpgid(int(name)) != pid:
                continue
            with open("/proc/%s/environ" % name, "rb") as file:
                if mark in file.read().split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)
        except OSError:
            continue


class Bench:
    def __init__(self, folder, media, first_port, ports):
        self.folder, self.media_folder = folder, media
        self.next_port, self.last_port = first_port, first_port + ports
        self.started, self.cleanups, self.counts, self.notes = [], [], {}, []

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def media(self, name):
        return os.path.join(self.media_folder, name)

    def unique(self, name):
        number = self.counts[name] = self.counts.get(name, 0) + 1
        return name if number == 1 else "%s-%d" % (name, number)

    def note(self, text):
        """A figure that belongs into the report."""
        self.notes.append(text)

    # ---- ports

    def ports(self, count=1):
        """The first of so many free ports in a row, an even one."""
        while self.next_port + count < self.last_port:
            first = self.next_port + self.next_port % 2
            self.next_port = first + count
            if all(is_free(port) for port in range(first, first + min(count, 12))):
                return first
        raise Failure("no free ports left")

    def port_range(self, count):
        first = self.ports(count)
        return "%d-%d" % (first, first + count - 1)

    # ---- processes

    def start(self, name, args, **options):
        process = Process(self, name if options.pop("exact", False) else self.unique(name), args, **options)
        self.started.append(process)
        return process

    def run(self, args, seconds=120, **options):
        """Runs a tool to its end and returns its output."""
        process = self.start(os.path.basename(args[0]), args, **options)
        process.finish(seconds)
        return process.out()

    def script(self, name, path, env, **options):
        return self.start(name, [os.path.join(PEERS, path), *options.pop("args", ())], env=env, exact=True, **options)

    def stop_all(self):
        for cleanup in reversed(self.cleanups):
            try:
                cleanup()
            except (OSError, Failure) as problem:
                print("while cleaning up: %s" % problem)
        # Clients first: they want to unregister. All are told at once, then waited for.
        for process in reversed(self.started):
            if process.running() and not process.child.stdin and not isinstance(process, Gateway):
                process.child.send_signal(signal.SIGTERM)
        for process in reversed(self.started):
            process.stop(0.3 if isinstance(process, Gateway) else 3.0)

    # ---- peers

    def gateway(self, settings=None, **options):
        gateway = Gateway(self, settings, **options)
        self.started.append(gateway)
        gateway.wait_ready()
        return gateway

    def baresip(self, name, registrar=None, host="127.0.0.1", **env):
        return Baresip(self, name, registrar, host, env)

    def linphone(self, name, registrar=None, **env):
        return Linphone(self, name, registrar, env)

    def kamailio(self, **env):
        return Kamailio(self, env)

    def sipp(self, scenario, remote="-", args=(), **env):
        """Runs a scenario; .port is its SIP port."""
        port, raw = env.pop("PORT", None) or self.ports(), scenario in ("uac_pcap", "uac_dtmf_rfc4733")
        settings = dict(PORT=port, MEDIA=self.media_folder, HOLD=800, LIMIT=25,
                        MEDIA_PORT=self.ports(8), LOG=self.path("sipp"))
        settings.update(env)
        command = [os.path.join(PEERS, "sipp", "run.sh"), scenario, remote, *args]
        if raw and os.geteuid() != 0:    # it plays captures through raw sockets
            command = ["sudo", "-n", "-E", *command]
        process = self.start("sipp-" + scenario, command, env=settings)
        process.port = port
        if remote == "-" and settings.get("TRANSPORT", "u1") == "u1":
            until(lambda: not is_free(port) or not process.running(), 5, "sipp does not listen")
        return process

    def finish_sipp(self, process, scenario, seconds=60):
        """Waits for a scenario's success; says what sipp complained about."""
        try:
            process.finish(seconds)
        except Failure as problem:
            path = self.path("sipp", scenario + ".err")
            said = open(path, errors="replace").read()[:600] if os.path.exists(path) else ""
            raise Failure("%s: %s" % (problem, said.strip())) from None

    # ---- RTMP tools

    def ffmpeg_publish(self, wav, url, codec="libspeex", rate=16000, extra=()):
        return self.start("ffmpeg-publish", [
            "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "verbose", "-re", "-i", wav,
            "-c:a", codec, "-ar", rate, "-ac", 1, *extra, "-f", "flv", url])

    def player(self, kind, host, port, app, name):
        """Starts a player that writes what it gets to an FLV: ffmpeg, rtmpdump or gst. .flv is the file."""
        flv = self.path("played-%s.flv" % kind)
        url = "rtmp://%s:%d/%s/%s" % (host, port, app, name)
        args = {
            "ffmpeg": ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "verbose", "-y", "-rtmp_live", "live",
                       "-probesize", 32, "-analyzeduration", 0, "-i", url, "-c", "copy", "-flush_packets", 1,
                       "-f", "flv", flv],
            "rtmpdump": ["rtmpdump", "-V", "--live", "-r", "rtmp://%s:%d/%s" % (host, port, app), "-y", name,
                         "-o", flv],
            "gst": ["gst-launch-1.0", "-q", "rtmp2src", "location=" + url, "!", "filesink", "buffer-mode=2",
                    "location=" + flv],
        }[kind]
        process = self.start("player-" + kind, args)
        process.flv = flv
        return process

    def call(self, gateway, target, *args, **options):
        """`flashgate call`; .report() waits for its end and returns what --json said."""
        app = options.pop("app", "call")
        address = options.pop("address", "127.0.0.1:%d" % gateway.rtmp)
        process = self.start("flashgate-call", [flashgate(), "call", "rtmp://%s/%s" % (address, app), target,
                                                "--json", *args], split=True)

        def report(seconds=60, status=None):
            process.finish(seconds, status)
            text = process.out().strip()
            check(text, "flashgate call printed nothing: " + process.log()[-400:])
            return json.loads(text[text.index("{"):])
        process.report = report
        return process

    # ---- what was heard

    def decode(self, path, rate, name=None):
        """Any audio file to a mono WAV of that rate."""
        out = self.path((name or os.path.basename(path)) + ".%d.wav" % rate)
        self.run(["ffmpeg", "-nostdin", "-hide_banner", "-y", "-i", path, "-ac", "1", "-ar", rate,
                  "-c:a", "pcm_s16le", out])
        return out

    def cut(self, wav, seconds):
        """The beginning of a WAV."""
        out = self.path("cut-%g-%s" % (seconds, os.path.basename(wav)))
        with wave.open(wav) as source, wave.open(out, "wb") as cut:
            cut.setparams(source.getparams())
            cut.writeframes(source.readframes(int(seconds * source.getframerate())))
        return out

    def quality(self, reference, degraded):
        from lib import quality
        result = quality.measure(reference, degraded, nb_only=True)
        check("error" not in result, "%s: %s" % (os.path.basename(degraded), result))
        return result

    def heard(self, wav, want, unwanted=None, seconds=1.0, wait=5.0):
        """The tone `want` is in the recording for so long, and the other is not.

        Recorders write the WAV header last: tries for a while.
        """
        deadline = time.monotonic() + wait
        while True:
            try:
                path = wav() if callable(wav) else wav
                got = tones.measure(path, [hz for hz in (want, unwanted) if hz])
                good = got[want][0] >= seconds and (not unwanted or got[unwanted][0] < 0.3)
            except (OSError, EOFError, wave.Error, Failure) as why:
                got, good = why, False
            if good:
                return got
            check(time.monotonic() < deadline, "wanted %g s of %s Hz, heard %s" % (seconds, want, got))
            time.sleep(0.2)


def is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, kind) as sock:
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((host, port))
                except OSError:
                    return False
    return True


def wait_tcp(port, host="127.0.0.1", alive=lambda: True, seconds=10.0):
    def connects():
        check(alive(), "it ended before it listened on port %d" % port)
        try:
            socket.create_connection((host, port), 1).close()
            return True
        except OSError:
            return False
    until(connects, seconds, "nothing listens on port %d" % port)


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join("%s = %s" % (key, toml(item)) for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value)


class Gateway(Process):
    """flashgate on free ports.

    settings: tables, as in {"media": {"ptime": "40ms"}}, merged over the test's defaults;
    users: names out of PASSWORDS; trunks, routes: lists of tables; arrays: (name, table) pairs that go before them.
    rtp: how many RTP ports it has.
    """

    # Set by a test in which it is to end.
    may_end = False

    def __init__(self, bench, settings=None, users=(), trunks=(), routes=(), ipv6=False, arrays=(), rtp=100):
        self.rtmp, self.sip, self.console, first = bench.ports(), bench.ports(), bench.ports(), bench.ports(rtp)
        hosts = ["127.0.0.1"] + (["[::1]"] if ipv6 else [])
        tables = {
            "rtmp": {"listen": ["%s:%d" % (host, self.rtmp) for host in hosts], "access": "open"},
            "rtmfp": {"listen": ["%s:%d" % (host, self.rtmp) for host in hosts]},
            "sip": {"udp": ["%s:%d" % (host, self.sip) for host in hosts],
                    "tcp": ["%s:%d" % (host, self.sip) for host in hosts], "domain": DOMAIN},
            "media": {"rtp_ports": "%d-%d" % (first, first + rtp - 1)},
            "log": {"level": "debug"},
            "console": {"listen": "127.0.0.1:%d" % self.console, "control": "/tmp/flashgate-%d.sock" % self.console},
            "records": {"dir": bench.path("records-%d" % self.console)},
        }
        for table, keys in (settings or {}).items():
            tables.setdefault(table, {}).update(keys)
        self.control, self.records = tables["console"].get("control"), tables["records"]["dir"]
        self.rtp_ports = tables["media"]["rtp_ports"]
        arrays = list(arrays) + [("sip.trunk", trunk) for trunk in trunks]
        arrays += [("user", {"name": name, "password": PASSWORDS[name]}) for name in users]
        arrays += [("route", route) for route in routes]
        name = bench.unique("gateway")
        config = self.config = bench.path(name + ".toml")
        with open(config, "w") as file:
            for head, keys in [("[%s]" % table, keys) for table, keys in tables.items()] + \
                              [("[[%s]]" % table, keys) for table, keys in arrays]:
                file.write(head + "\n" + "".join("%s = %s\n" % (k, toml(v)) for k, v in keys.items()) + "\n")
        super().__init__(bench, name, [flashgate(), "run", "--config", config])

    def wait_ready(self):
        for port in (self.rtmp, self.sip):
            wait_tcp(port, alive=self.running)

    def url(self, name, app="call"):
        return "rtmp://127.0.0.1:%d/%s/%s" % (self.rtmp, app, name)

    def uri(self, user):
        return "sip:%s@127.0.0.1:%d" % (user, self.sip)

    def memory(self, key="VmRSS"):
        """In KiB, from /proc."""
        with open("/proc/%d/status" % self.pid) as file:
            return int(re.search(key + r":\s+(\d+)", file.read()).group(1))

    def check_healthy(self):
        check(self.running() or self.may_end, "the gateway ended")
        check("panicked" not in self.log(), "the gateway panicked")


class Baresip:
    """With a registrar (a gateway or kamailio) it registers there; without one it is called directly."""

    def __init__(self, bench, name, registrar, host, env):
        self.bench, self.name = bench, name
        label = bench.unique("baresip-" + name)
        self.record = bench.path("rec-" + label)
        bracket = "[%s]" % host if ":" in host else host
        self.port, control = bench.ports(2), bench.ports()
        settings = dict(
            SIP_LISTEN="%s:%d" % (bracket, self.port), CTRL="127.0.0.1:%d" % control,
            AOR="sip:%s@%s:%d" % (name, bracket, registrar.sip if registrar else self.port),
            CODECS="PCMU/8000/1", PLAY=bench.media("tone-%d-8.wav" % (440 if name == "alice" else 620)),
            RECORD=self.record, RUNDIR=bench.path(label), RTP_PORTS=bench.port_range(40))
        if registrar:
            settings["PASSWORD"] = PASSWORDS[name]
        wait = env.pop("WAIT", True)
        settings.update(env)
        self.process = bench.script(label, "baresip/baresip.sh", settings)
        self.uri = "sip:%s@%s:%d" % (name, bracket, self.port)
        self.control = Control(settings["CTRL"])
        bench.cleanups.append(self.control.sock.close)
        if registrar and wait:
            self.process.wait_log("200 OK")

    def dial(self, uri):
        ok, text = self.control.command("dial", uri)
        return text

    def hangup(self):
        self.control.command("hangup")

    def event(self, kind, seconds=10.0):
        got = self.control.wait(kind, seconds)
        check(got, "%s had no %s" % (self.name, kind))
        return got

    def no_event(self, kind, seconds):
        got = self.control.wait(kind, seconds)
        check(not got, "%s had %s" % (self.name, got))

    def established(self, seconds=10.0):
        return self.event("CALL_ESTABLISHED", seconds)

    def closed(self, seconds=10.0):
        return self.event("CALL_CLOSED", seconds)

    def dump(self):
        """The newest recording of what it heard."""
        files = sorted(glob.glob(os.path.join(self.record, "*-dec.wav")))
        check(files, self.name + " recorded nothing")
        return files[-1]


class Linphone:
    def __init__(self, bench, name, registrar, env):
        self.bench, self.name = bench, name
        label = bench.unique("linphone-" + name)
        self.port = bench.ports(2)
        self.record = bench.path(label + ".wav")
        settings = dict(
            PORT=self.port, AOR="sip:%s@127.0.0.1" % name, RUNDIR=bench.path(label), CODECS="PCMU",
            PLAY=bench.media("tone-%d-8.wav" % (440 if name == "alice" else 620)), RECORD=self.record,
            RTP_PORTS=bench.port_range(20))
        if registrar:
            settings.update(REGISTRAR="sip:127.0.0.1:%d" % registrar.sip, PASSWORD=PASSWORDS[name])
        wait = env.pop("WAIT", True)
        settings.update(env)
        self.trace = os.path.join(settings["RUNDIR"], "linphone.log")
        self.uri = "sip:%s@127.0.0.1:%d" % (name, self.port)
        self.process = bench.script(label, "linphone/linphone.sh", settings, stdin=subprocess.PIPE)
        if wait:
            self.wait_trace("to [LinphoneRegistrationOk]" if registrar else "Creating listening point")
            time.sleep(0.3)

    def wait_trace(self, text, seconds=15.0):
        def there():
            if not os.path.exists(self.trace):
                return False
            with open(self.trace, errors="replace") as file:
                return text in file.read()
        until(there, seconds, "linphone never traced %r" % text)

    def dial(self, uri):
        self.process.say("call " + uri)

    def hangup(self):
        self.process.say("terminate")

    def established(self, seconds=10.0):
        self.process.wait_log("Media streams established", seconds)

    def closed(self, seconds=10.0):
        self.process.wait_log("ended", seconds)

    def dump(self):
        return self.record


class Kamailio:
    """Registrar and proxy for test.invalid. Accounts are those of PASSWORDS; USERS="name:password ..." sets others."""

    def __init__(self, bench, env):
        self.sip = bench.ports()
        settings = dict(PORT=self.sip, RUNDIR=bench.path("kamailio"))
        settings.update(env)
        if os.geteuid() != 0 and not shutil.which("kamailio"):
            settings["PATH"] = os.environ["PATH"] + ":/usr/sbin"
        self.process = bench.script("kamailio", "kamailio/kamailio.sh", settings)
        wait_tcp(self.sip, alive=self.process.running)

    def uri(self, user):
        return "sip:%s@127.0.0.1:%d" % (user, self.sip)
