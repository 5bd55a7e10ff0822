"""What an Engine has that bears a label of Lucy's: found, and removed. Standard library only, for the reaper."""

import contextlib
import json
import os
import stat
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from lucy_engines.docker.api.caller import Caller, Refusal
from lucy_engines.docker.api.endpoint import api_path
from lucy_engines.docker.plan.inside import DIRECTORY, LOG, USER

GIVE_BACK_SECONDS = 30.0
AT_ONCE = 8
GONE = 404
CONTAINER, NETWORK, VOLUME = "container", "network", "volume"


class Thing(NamedTuple):
    """Something in an Engine."""

    kind: str
    key: str
    """What the Engine knows it by."""
    name: str
    labels: dict[str, str]
    fifo: str = ""
    """Of a container: the FIFO of this machine's that its node's lines go into, if they do."""


class Removal(NamedTuple):
    """What became of a thing."""

    thing: Thing
    trouble: str | None
    """Why it is still there, if it is."""
    remark: str | None = None
    """What is to be said of it all the same."""


def find(caller: Caller, label: str) -> list[Thing]:
    """List all that bears a label (`name` or `name=value`): containers first, since they use the others.

    Raises:
        Refusal: the Engine gives no list.
        OSError: it can't be reached.
    """
    filters = json.dumps({"label": [label]})
    found = [
        Thing(
            CONTAINER,
            each["Id"],
            each["Names"][0].lstrip("/") if each["Names"] else each["Id"],
            each["Labels"],
            next((mount["Source"] for mount in each.get("Mounts", ()) if mount["Destination"] == LOG), ""),
        )
        for each in caller.call("GET", "containers/json", all="1", filters=filters)
    ]
    found += [
        Thing(NETWORK, each["Id"], each["Name"], each["Labels"])
        for each in caller.call("GET", "networks", filters=filters)
    ]
    found += [
        Thing(VOLUME, each["Name"], each["Name"], each["Labels"] or {})
        for each in caller.call("GET", "volumes", filters=filters)["Volumes"] or ()
    ]
    return found


def sweep(caller: Caller, things: Iterable[Thing]) -> list[Removal]:
    """Remove things, kind by kind since one uses the other, several at a time."""
    things = list(things)
    done: list[Removal] = []
    for kind in (CONTAINER, NETWORK, VOLUME):
        left = [thing for thing in things if thing.kind == kind]

        def remove(left: list[Thing] = left) -> None:
            # Each of these is one step under the interpreter's lock.
            while left:
                try:
                    thing = left.pop()
                except IndexError:
                    return
                done.append(_removal(caller, thing))

        threads = [threading.Thread(target=remove) for _ in range(min(AT_ONCE, len(left)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return done


def _removal(caller: Caller, thing: Thing) -> Removal:
    try:
        kept = _give_back(caller, thing)
        trouble = _remove(caller, thing)
    except OSError as error:
        return Removal(thing, str(error))
    if trouble is not None:
        return Removal(thing, trouble)
    _unlink_fifo(thing.fifo)
    whose = f"what it made in its node's directory stays root's ({kept}); root can `chown` or remove it"
    return Removal(thing, None, whose if kept else None)


def _give_back(caller: Caller, thing: Thing) -> str | None:
    """Have what root made in a container's directory belong to its user; return None, or why it stays root's.

    In there one is root, and out here its user may not even remove it. Only from inside can that be undone, while the
    container is there. One whose label names nobody has nothing to give back.
    """
    user = thing.labels.get(USER)
    if thing.kind != CONTAINER or not user:
        return None
    place = api_path("containers", thing.key)
    try:
        state = caller.call("GET", f"{place}/json")["State"]
        if state["Paused"]:
            caller.call("POST", f"{place}/unpause")
        elif not state["Running"]:
            caller.call("POST", f"{place}/start")
        command = ["chown", "-R", "-h", user, DIRECTORY]
        number = api_path("exec", caller.call("POST", f"{place}/exec", {"User": "0:0", "Cmd": command})["Id"])
        caller.call("POST", f"{number}/start", {"Detach": True})
        give_up = time.monotonic() + GIVE_BACK_SECONDS
        while (code := caller.call("GET", f"{number}/json")["ExitCode"]) is None:
            if time.monotonic() > give_up:
                return f"chown took longer than {GIVE_BACK_SECONDS:g} s"
            time.sleep(0.02)
    except Refusal as refusal:
        return str(refusal)
    return f"chown exited with code {code}" if code else None


def _remove(caller: Caller, thing: Thing) -> str | None:
    """Remove a thing, and return None; or say why it is still there."""
    try:
        if thing.kind == CONTAINER:
            caller.call("DELETE", api_path("containers", thing.key), force="1", v="1")
        else:
            caller.call("DELETE", api_path(f"{thing.kind}s", thing.key))
    except Refusal as refusal:
        return None if refusal.status == GONE else str(refusal)
    return None


def _unlink_fifo(path: str) -> None:
    """Remove a node's FIFO: who came to it by its name would wait for ever. What is none is left alone."""
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.lstat(path).st_mode):
            os.unlink(path)
