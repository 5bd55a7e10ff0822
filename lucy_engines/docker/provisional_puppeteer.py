# mypy: ignore-errors
"""PID 1 of a node's container, until the real puppeteer is there: starts and stops the daemon as it is told."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ARGV = sys.argv[sys.argv.index("--") + 1 :]
LOCK = threading.Lock()
STATE = {"child": None, "gone": threading.Event(), "started": 0.0}


def say(**message):
    with LOCK:
        os.write(1, json.dumps(message).encode() + b"\n")


def decode(word):
    return re.sub(rb"\\0([0-7]{3})", lambda m: bytes([int(m[1], 8)]), word.encode()).decode()


def wait(child, started, gone):
    code = child.wait()
    end(child.pid)
    say(
        event="exited",
        code=code if code >= 0 else None,
        signal=signal.Signals(-code).name if code < 0 else None,
        at=time.time(),
        after=time.monotonic() - started,
    )
    gone.set()


def end(group, number=signal.SIGKILL):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


def start(words):
    environment = dict(os.environ)
    for word in words:
        if word == "fresh":
            state = os.environ["LUCY_STATE"]
            shutil.rmtree(state, ignore_errors=True)
            os.makedirs(state, exist_ok=True)
        else:
            name, _, value = word.partition("=")
            environment[name] = value
    log = os.open(os.environ["LUCY_LOG"], os.O_WRONLY)
    try:
        child = subprocess.Popen(
            ARGV, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    finally:
        os.close(log)
    STATE.update(child=child, gone=threading.Event())
    say(event="started", pid=child.pid, at=time.time())
    threading.Thread(target=wait, args=(child, time.monotonic(), STATE["gone"]), daemon=True).start()


def obey(verb, words):
    child, gone = STATE["child"], STATE["gone"]
    if verb == "start":
        start(words)
    elif verb == "stop" and child is not None:
        end(child.pid, signal.SIGTERM)
        if not gone.wait(float(words[0])):
            end(child.pid)
            gone.wait()
    elif verb == "kill" and child is not None:
        end(child.pid)
        gone.wait()


def answer(number, verb, words):
    try:
        obey(verb, words)
    except Exception as error:
        say(reply=int(number), error=str(error))
    else:
        say(reply=int(number), ok=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    say(event="ready", version=1, form="python")
    for line in sys.stdin:
        number, verb, *words = line.split()
        threading.Thread(target=answer, args=(number, verb, [decode(word) for word in words]), daemon=True).start()
    signal.pause()


main()
