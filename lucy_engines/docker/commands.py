"""Running a command in a container, to its end or to its time limit.

The Engine can start a command and can't end one. So each carries a word of its own in its environment, which its
children inherit, and one that runs out of time is ended by a second command that kills whoever carries it.
"""

import secrets
from collections.abc import Mapping, Sequence

import anyio
from aiodocker.exceptions import DockerError

from lucy_core.engine import ExecResult
from lucy_core.errors import CommandError, EngineError
from lucy_engines.docker.client import EngineClient
from lucy_engines.docker.frames import STDERR, STDOUT
from lucy_engines.docker.hijack import Attachment, run_attached

MARK = "LUCY_EXEC"
KILL_SECONDS = 10.0
_KILL = f"""
for place in /proc/[0-9]*; do
    if grep -q "{MARK}=$1" "$place/environ" 2>/dev/null; then kill -9 "${{place#/proc/}}" 2>/dev/null; fi
done
"""


async def run_command(
    client: EngineClient,
    container: str,
    node: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: str,
    given: bytes,
    seconds: float,
) -> ExecResult:
    """Run a command in a container; `given` is its input.

    Raises:
        CommandError: it could not be started, or did not end in `seconds` and was killed.
    """
    mark = secrets.token_hex(8)
    body = {
        # Without input nothing is attached, so that its end is seen over TLS too, which has no half-closed connection.
        "AttachStdin": bool(given),
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Cmd": list(command),
        "Env": [*(f"{name}={value}" for name, value in environment.items()), f"{MARK}={mark}"],
        "WorkingDir": directory,
    }
    number = await _create(client, container, node, body)
    output: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray()}
    ended = False
    try:
        with anyio.move_on_after(seconds):
            attachment = await run_attached(client.endpoint, number)
            try:
                await _converse(attachment, given, output)
            finally:
                await attachment.aclose()
            ended = True
    finally:
        if not ended:
            with anyio.CancelScope(shield=True), anyio.move_on_after(KILL_SECONDS):
                await _kill(client, container, node, mark)
    if not ended:
        said = bytes(output[STDERR]).decode(errors="replace").strip()[-200:]
        message = f"node {node!r}: {command[0]} did not end in {seconds:g} s and was killed; it said {said!r}"
        raise CommandError(message)
    code = await _exit_code(client, number, node)
    said = bytes(output[STDOUT]).decode(errors="replace").strip()
    if code in (126, 127) and said.startswith("OCI runtime exec failed"):
        message = f"node {node!r}: can't run {command[0]}: {said.removeprefix('OCI runtime exec failed: ')}"
        if "executable file not found" in said or "no such file or directory" in said:
            message = f"node {node!r}: there is no program {command[0]!r} in its container; name one that its image has"
        raise CommandError(message)
    return ExecResult(code, bytes(output[STDOUT]), bytes(output[STDERR]))


async def _create(client: EngineClient, container: str, node: str, body: Mapping[str, object]) -> str:
    with client.calling(f"run a command in {node}"):
        try:
            return str((await client.post(f"containers/{container}/exec", body))["Id"])
        except DockerError as error:
            if error.status in (0, 900):
                raise
            message = f"node {node!r}: can't run a command in its container: {error.message}"
            raise CommandError(message) from error


async def _converse(attachment: Attachment, given: bytes, output: Mapping[int, bytearray]) -> None:
    """Hand the input over and take the output, at once: either side may wait for the other."""

    async def hand_over() -> None:
        try:
            await attachment.send(given)
            await attachment.send_eof()
        except anyio.BrokenResourceError:
            return  # it ended without reading all

    async with anyio.create_task_group() as tasks:
        if given:
            tasks.start_soon(hand_over)
        try:
            while True:
                for part in await attachment.receive():
                    output[part.stream].extend(part.data)
        except anyio.EndOfStream:
            tasks.cancel_scope.cancel()


async def _exit_code(client: EngineClient, number: str, node: str) -> int:
    """Return the code of a command whose streams have ended; its end is noted a moment later."""
    with client.calling(f"say how a command in {node} ended"):
        while True:
            shown = await client.get(f"exec/{number}/json")
            if not shown["Running"] and shown["ExitCode"] is not None:
                return int(shown["ExitCode"])
            await anyio.sleep(0.005)


async def _kill(client: EngineClient, container: str, node: str, mark: str) -> None:
    body = {"AttachStdout": True, "Cmd": ["sh", "-c", _KILL, "sh", mark]}
    try:
        attachment = await run_attached(client.endpoint, await _create(client, container, node, body))
    except EngineError:
        return  # the container is gone, and the command with it
    try:
        while True:
            await attachment.receive()
    except anyio.EndOfStream:
        return
    finally:
        await attachment.aclose()
