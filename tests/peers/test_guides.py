"""The pages of docs/peers: their configurations are valid, their commands work."""
import os
import re
import shlex
import shutil
import subprocess

from lib.harness import check, flashgate, test

PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")


def blocks(kind, *names):
    """The fenced blocks of that kind: (page, text)."""
    folder = os.path.join(PAGES, "peers")
    for name in sorted(names or os.listdir(folder)):
        with open(os.path.join(folder, name)) as file:
            for text in re.findall(r"^```%s\n(.*?)^```$" % kind, file.read(), re.S | re.M):
                yield name, text


@test(seconds=60)
def guides_configurations(bench):
    """each configuration in the pages about other programs is taken by `flashgate check`"""
    found = 0
    for page, text in blocks("toml"):
        found += 1
        path = bench.path("%s-%d.toml" % (page, found))
        with open(path, "w") as file:
            file.write(text)
        run = subprocess.run([flashgate(), "check", "--config", path], capture_output=True, text=True)
        check(run.returncode == 0, "%s: %s" % (page, run.stderr))
    check(found >= 5, "only %d configurations" % found)


@test(seconds=90)
def guides_ffmpeg(bench):
    """each command of the page about ffmpeg does what it says"""
    gateway = bench.gateway()
    shutil.copy(bench.media("tone-440-8.wav"), bench.path("talk.wav"))
    lines = [line for _, text in blocks("sh", "ffmpeg.md") for line in text.splitlines() if line.startswith("ffmpeg ")]
    check(len(lines) >= 5, "only %d commands" % len(lines))
    for line in lines:
        command = shlex.split(line.replace("gw.example", "127.0.0.1:%d" % gateway.rtmp))
        run = subprocess.run([command[0], "-nostdin", "-hide_banner", *command[1:]], cwd=bench.folder, capture_output=True, text=True,
                             timeout=30)
        check(run.returncode == 0, "%s\n%s" % (line, run.stderr[-1500:]))
    check(os.path.getsize(bench.path("tone.wav")) > 20000, "nothing was recorded")
