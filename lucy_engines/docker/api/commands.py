"""Running a command in a container, to its end or to its time limit.

The Engine can start a command and can't end one. So each carries a word of its own in its environment, which its
children inherit, and one that runs out of time is ended by a second command that kills whoever carries it, and their
children. One that has cleared its environment is known by its process id, where the Engine is of this machine.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import anyio
from aiodocker.exceptions import DockerError
from aiodocker.execs import Exec

from lucy_core.engine import Output, Take, Written, one_error
from lucy_core.errors import CommandError, CommandTimeoutError, EngineError
from lucy_engines.docker.api.client import EngineClient, is_answer
from lucy_engines.docker.api.frames import STDERR, STDOUT
from lucy_engines.docker.api.hijack import Attachment, run_attached

MARK = "LUCY_EXEC"
REFUSAL = "OCI runtime exec failed: "
REFUSAL_BYTES = 1 << 12
KILL_SECONDS = 10.0
FIRST_LOOK, LONGEST_LOOK = 0.005, 0.2
_OUTPUTS = {STDOUT: Output.STDOUT, STDERR: Output.STDERR}
_KILL = f"""
found=" $2 " again=1
while [ -n "$again" ]; do
    again=
    for place in /proc/[0-9]*; do
        one=${{place#/proc/}}
        case $found in *" $one "*) continue ;; esac
        {{ read -r line <"$place/stat"; }} 2>/dev/null || continue
        line=${{line##*) }} line=${{line#* }}
        case $found in
            *" ${{line%% *}} "*) ;;
            *) grep -q "{MARK}=$1" "$place/environ" 2>/dev/null || continue ;;
        esac
        found="$found$one " again=1
    done
done
kill -9 $found 2>/dev/null
true
"""
"""Kills whoever bears the mark that is its first word, and all that came from them or from the process that is its
second. The shell that runs it bears none."""


async def run_command(
    client: EngineClient,
    container: str,
    node: str,
    command: Sequence[str],
    *,
    directory: str,
    user: str = "",
    given: bytes,
    seconds: float,
    take: Take,
) -> int:
    """Run a command in a container, and return its exit code; `given` is its input, and `take` gets what it writes.

    It runs as `user`, who is root where nobody is named.

    Raises:
        CommandTimeoutError: it did not end in `seconds`, and was killed.
        CommandError: it could not be started.
    """
    mark = secrets.token_hex(8)
    prepared = await _prepare(
        client,
        container,
        node,
        command,
        # Without input nothing is attached, so that its end is seen over TLS too, which has no half-closed connection.
        stdin=bool(given),
        environment={MARK: mark},
        user=user,
        workdir=directory,
    )
    refused = _Refusal()
    ended, code = False, 0
    try:
        with anyio.move_on_after(seconds):
            attachment = await run_attached(client.endpoint, prepared.id)
            try:
                await _converse(attachment, given, refused, take)
            finally:
                await attachment.aclose()
            # Its streams are closed, which a command may do long before its end.
            code = await _exit_code(client, prepared, node)
            ended = True
    finally:
        if not ended:
            with anyio.CancelScope(shield=True), anyio.move_on_after(KILL_SECONDS):
                await _kill(client, container, node, mark, await _pid_inside(client, container, prepared))
    if not ended:
        raise CommandTimeoutError(node, command[0], seconds)
    if code in (126, 127) and refused.said is not None:
        if "executable file not found" in refused.said or "no such file or directory" in refused.said:
            reason = f"there is no program {command[0]!r} in its container; name one that its image has"
        else:
            reason = f"can't run {command[0]}: {refused.said}"
        raise CommandError(reason, node)
    return code


@final
class _Refusal:
    """Remembers the beginning of what came first: where a command can't be run, the Engine says so in its place."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first = b""

    def hear(self, data: bytes) -> None:
        if len(self._first) < REFUSAL_BYTES:
            self._first += data[:REFUSAL_BYTES]

    @property
    def said(self) -> str | None:
        """What the Engine said, if it did."""
        text = self._first.decode(errors="replace").strip()
        return text.removeprefix(REFUSAL) if text.startswith(REFUSAL) else None


async def _prepare(client: EngineClient, container: str, node: str, words: Sequence[str], **how: Any) -> Exec:
    with client.calling(f"run a command in {node}"):
        try:
            return await client.container(container).exec(list(words), **how)
        except DockerError as error:
            if not is_answer(error):
                raise
            raise CommandError(f"can't run a command in its container: {error.message}", node) from error


async def _converse(attachment: Attachment, given: bytes, refused: _Refusal, take: Take) -> None:
    """Hand the input over and take the output, at once: either side may wait for the other.

    What `take` raises comes out as it is.
    """

    async def hand_over() -> None:
        try:
            await attachment.send(given)
            await attachment.send_eof()
        except anyio.BrokenResourceError:
            return  # it ended without reading all

    async with one_error(), anyio.create_task_group() as tasks:
        if given:
            tasks.start_soon(hand_over)
        while True:
            try:
                parts = await attachment.receive()
            except anyio.EndOfStream:
                tasks.cancel_scope.cancel()
                return
            for part in parts:
                if part.stream == STDOUT:
                    refused.hear(part.data)
                take(Written(_OUTPUTS[part.stream], part.data))


async def _exit_code(client: EngineClient, prepared: Exec, node: str) -> int:
    """Wait for the end of a command whose streams have ended, and return its code.

    As a rule that is noted a moment later; nobody pushes it.
    """
    pause = FIRST_LOOK
    while True:
        with client.calling(f"say how a command in {node} ended"):
            shown = await prepared.inspect()
        if not shown["Running"] and shown["ExitCode"] is not None:
            return int(shown["ExitCode"])
        await anyio.sleep(pause)
        pause = min(2 * pause, LONGEST_LOOK)


async def _pid_inside(client: EngineClient, container: str, prepared: Exec) -> int | None:
    """Return a command's process id in its container's own count, where it can be had and the command runs."""
    try:
        with client.calling("say which process a command is"):
            shown = await prepared.inspect()
    except EngineError:
        return None
    return pid_inside(shown["Pid"], container) if shown["Running"] else None


def pid_inside(pid: int, container: str) -> int | None:
    """Return what a process of this machine is called in its container; None where it is no process of that.

    The Engine may be in a virtual machine, and its numbers those of other processes here.
    """
    try:
        if container not in Path(f"/proc/{pid}/cgroup").read_text():
            return None
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    (numbers,) = (line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    return int(numbers[-1]) if len(numbers) > 1 else None


async def _kill(client: EngineClient, container: str, node: str, mark: str, pid: int | None) -> None:
    words = ["sh", "-c", _KILL, "sh", mark, "" if pid is None else str(pid)]
    try:
        prepared = await _prepare(client, container, node, words)
        attachment = await run_attached(client.endpoint, prepared.id)
    except EngineError:
        return  # the container is gone, and the command with it
    try:
        while True:
            await attachment.receive()
    except anyio.EndOfStream:
        return
    finally:
        await attachment.aclose()
