"""The gateway as its operator meets it: commands, console, API, metrics, records, reload, drain."""
import http.client
import json
import os
import signal
import subprocess
import time

from lib.harness import check, flashgate, test


def ask(gateway, *command):
    """What a command answers, as JSON."""
    run = subprocess.run([flashgate(), *command, "--json", "--socket", gateway.control], capture_output=True, text=True, timeout=30)
    check(run.returncode == 0, "%s: %s" % (command, run.stderr))
    return json.loads(run.stdout)


def get(gateway, path, method="GET", body=None, headers=None):
    """Status and body of an HTTP request to the console."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.console, timeout=10)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return response.status, response.read().decode()


def records(gateway):
    with open(os.path.join(gateway.records, "calls.jsonl")) as file:
        return [json.loads(line) for line in file]


def wait_for(what, condition, seconds=5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    check(False, "no " + what)


@test(seconds=60)
def operator_sees_a_call_and_hangs_it_up(bench):
    """a phone calls the echo: the commands, the API and metrics show it; hang-up ends it and leaves a record"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("echo"))
    alice.established()
    time.sleep(1)
    calls = ask(gateway, "calls")["calls"]
    check(len(calls) == 1 and calls[0]["state"] == "up" and "alice" in calls[0]["caller"], calls)
    users = ask(gateway, "users")["users"]
    check(users[0]["aor"].startswith("alice@") and users[0]["account"] and users[0]["contacts"], users)
    call = calls[0]["id"]
    ask(gateway, "call-info", call)
    time.sleep(1)
    status, text = get(gateway, "/api/v1/calls/" + call)
    leg = json.loads(text)["legs"][0]
    check(status == 200 and leg["received"] > 30 and leg["level_dbov"] is not None and -40 < leg["level_dbov"] < 0, text)
    page = get(gateway, "/metrics")[1]
    check('flashgate_calls{state="up",dialect="sip"} 1' in page, page)
    check(get(gateway, "/readyz")[0] == 200 and get(gateway, "/healthz")[0] == 200, "not ready")
    check(get(gateway, "/api/v1/calls/" + call, "DELETE")[0] == 403, "a foreign page may hang up")
    check(get(gateway, "/api/v1/calls", headers={"Host": "evil.example"})[0] == 403, "a foreign name is served")
    check(get(gateway, "/api/v1/calls/" + call, "DELETE", headers={"X-Flashgate": "1"})[0] == 200, "no hang-up")
    alice.closed()
    record = wait_for("record", lambda: records(gateway))[0]
    check(record["id"] == call and record["status"] == 200 and record["seconds"] > 1.5 and record["mos"] > 4, record)
    summary = subprocess.run([flashgate(), "records", "--dir", gateway.records, "--summary", "--json"],
                             capture_output=True, text=True, check=True)
    check(json.loads(summary.stdout)["asr_percent"] == 100, summary.stdout)
    lines = json.loads(get(gateway, "/api/v1/log?call=" + call)[1])["lines"]
    check(any(line["message"] == "call ended" for line in lines), lines)


@test(seconds=60)
def records_survive_kill_9(bench):
    """calls that ended before a kill -9 have their records"""
    gateway = bench.gateway()
    call = [flashgate(), "call", "rtmp://127.0.0.1:%d/call" % gateway.rtmp, "echo", "--duration", "1", "--calls", "5", "--rate", "20"]
    check(subprocess.run(call, capture_output=True, timeout=30).returncode == 0, "calls failed")
    wait_for("end of the calls", lambda: ask(gateway, "status")["calls"]["now"] == 0)
    time.sleep(0.7)
    gateway.may_end = True
    os.kill(gateway.pid, signal.SIGKILL)
    check(len(records(gateway)) == 5, records(gateway))


@test(seconds=60)
def reload_changes_what_it_can_and_names_the_rest(bench):
    """a call goes on over a reload; a mistake changes nothing; what needs a restart is named"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("echo"))
    alice.established()
    file = gateway.config
    with open(file) as f:
        text = f.read()
    with open(file, "w") as f:
        f.write(text.replace('level = "debug"', 'level = "info"').replace("[sip]", "[limits]\ncalls = 1\nsessions = 7\n[sip]"))
    done = ask(gateway, "reload")
    check(done["applied"] == ["limits.calls", "log.level"] and done["restart"] == ["limits.sessions"], done)
    call = [flashgate(), "call", "rtmp://127.0.0.1:%d/call" % gateway.rtmp, "echo", "--duration", "1"]
    check(subprocess.run(call, capture_output=True, timeout=30).returncode == 1, "a call above the new limit was taken")
    with open(file, "w") as f:
        f.write(text.replace("[sip]", "[sip]\ndomian = 1"))
    run = subprocess.run([flashgate(), "reload", "--socket", gateway.control], capture_output=True, text=True)
    check(run.returncode == 1 and "did you mean `domain`" in run.stderr, run.stderr)
    os.kill(gateway.pid, signal.SIGHUP)
    time.sleep(0.5)
    check(gateway.running() and len(ask(gateway, "calls")["calls"]) == 1, "the call did not go on")
    alice.hangup()


@test(seconds=60)
def drain_ends_when_the_last_call_has(bench):
    """drain: not ready, new calls are refused, the call in progress goes on, then the gateway ends by itself"""
    gateway = bench.gateway(users=["alice"])
    alice = bench.baresip("alice", gateway)
    alice.dial(gateway.uri("echo"))
    alice.established()
    gateway.may_end = True
    ask(gateway, "drain")
    check(get(gateway, "/readyz")[0] == 503 and get(gateway, "/healthz")[0] == 200, "still ready")
    call = [flashgate(), "call", "rtmp://127.0.0.1:%d/call" % gateway.rtmp, "echo", "--duration", "1"]
    check(subprocess.run(call, capture_output=True, timeout=30).returncode == 1, "a call was taken while draining")
    check(gateway.running() and len(ask(gateway, "calls")["calls"]) == 1, "the call did not go on")
    alice.hangup()
    wait_for("end", lambda: not gateway.running(), 5)
    # The one that was refused has a record too.
    check(sorted(r["answered"] is not None for r in records(gateway)) == [False, True], records(gateway))
    check(not os.path.exists(gateway.control), "the control socket is left behind")
