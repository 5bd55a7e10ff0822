"""What the suite's parts stand on: the engine under test, deployments on it, and looking at what nodes said."""

import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol, final

import anyio
import msgspec
import pytest

from lucy_core.engine import Capability, Engine, NetworkSpec, NodeSpec
from lucy_core.errors import UnsupportedError
from lucy_core.network.network import Network
from lucy_core.network.node import Node
from lucy_core.records.record import Event, Mark
from lucy_core.run.deployment import deploy
from lucy_core.testing.scripted_node import STATE_VARIABLE, Numbered, Told, scripted_node

WITHIN = float(os.environ.get("LUCY_CONFORMANCE_SECONDS", "60"))
"""Seconds after which something is taken never to happen: far more than it ever takes."""


class Deploy(Protocol):
    """Deploys nodes on the engine under test."""

    def __call__(
        self, *nodes: NodeSpec, options: Mapping[str, str] | None = None, start: bool = True, **more: Any
    ) -> AbstractAsyncContextManager[Network]:
        """Give the network, as `lucy.deploy` does."""
        ...


class Script(Protocol):
    """Describes a scripted node that runs where the engine under test puts it."""

    def __call__(self, name: str, *steps: str, **more: Any) -> NodeSpec:
        """Describe a node, as `scripted_node` does."""
        ...


class Suite:
    """Fixtures of every part. A suite for an engine sets the attributes and defines the fixture `engine`."""

    pytestmark = pytest.mark.anyio
    """Its tests are coroutines, which anyio runs."""

    python: ClassVar[str] = "python3"
    """The interpreter for scripted nodes, in the place where the engine puts nodes."""
    options: ClassVar[Mapping[str, str]] = {}
    """Options of every deployment."""
    captures: ClassVar[Mapping[str, Mapping[str, str]]] = {"default": {}}
    """Every way in which the engine can take its nodes' lines: a name, and the options that select it."""
    restarts_under_flood: ClassVar[int] = 4
    """How often a node is killed in the middle of what it writes."""
    checkpoints: ClassVar[Sequence[int]] = (0, 3, 10, 20, 40, 80)
    """After how many turns of the loop a deployment is cancelled."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test that asks for it once for each way of capture, or for each checkpoint."""
        if "capture" in metafunc.fixturenames:
            metafunc.parametrize("capture", list(self.captures))
        if "checkpoint" in metafunc.fixturenames:
            metafunc.parametrize("checkpoint", list(self.checkpoints))

    @pytest.fixture
    def anyio_backend(self) -> Any:
        """The event loop. Override it to run the suite on others."""
        return "asyncio"

    @pytest.fixture
    def engine(self) -> Engine:
        pytest.fail(f"{type(self).__name__} must define a fixture `engine` that returns its engine", pytrace=False)

    @pytest.fixture
    def script(self) -> Script:
        """Describes scripted nodes."""

        def describe(name: str, *steps: str, **more: Any) -> NodeSpec:
            return scripted_node(name, *steps, python=self.python, **more)

        return describe

    @pytest.fixture
    def run_id(self) -> str:
        return f"conform-{secrets.token_hex(4)}"

    @pytest.fixture
    def deploy(self, engine: Engine, tmp_path: Path, run_id: str) -> Deploy:
        """Deploys networks on the engine under test."""

        def deploy_on_engine(
            *nodes: NodeSpec, options: Mapping[str, str] | None = None, start: bool = True, **more: Any
        ) -> AbstractAsyncContextManager[Network]:
            return deploy(
                NetworkSpec(name="conformance", nodes=nodes),
                engine=engine,
                run_id=more.pop("run_id", run_id),
                run_directory=more.pop("run_directory", tmp_path / "run"),
                options={**self.options, **(options or {})},
                start=start,
                **more,
            )

        return deploy_on_engine


async def can(network: Network, capability: Capability, call: Callable[[], Awaitable[object]]) -> bool:
    """Tell whether the engine has a capability; one that it lacks must be refused by its name when `call` is made."""
    if capability in network.engine.capabilities:
        return True
    with pytest.raises(UnsupportedError) as refused:
        await call()
    assert (refused.value.engine, refused.value.capability) == (network.engine.name, capability)
    return False


async def takes(engine: Engine, deploy: Deploy, node: NodeSpec, capability: Capability) -> bool:
    """Tell whether the engine has what a spec asks for; one that lacks it must refuse the network by its name."""
    if capability in engine.capabilities:
        return True
    with pytest.raises(UnsupportedError, match=f"node {node.name!r} asks for it") as refused:
        async with deploy(node):
            pass
    assert (refused.value.engine, refused.value.capability) == (engine.name, capability)
    return False


async def told(node: Node, what: str, since: Mark | int = 0) -> Event[Told]:
    """Wait until a scripted node tells something."""
    return await node.events(Told, since=since).first(lambda event: event.data.what == what, within=WITHIN)


async def said(node: Node, count: int = 1, since: Mark | int = 0) -> Event[Numbered]:
    """Wait until a scripted node has written its line number `count`, in some start of it."""
    return await node.events(Numbered, since=since).first(lambda event: event.data.n >= count, within=WITHIN)


async def noted(node: Node) -> dict[int, int]:
    """For each start of a scripted node, read how many lines it noted as written; nothing if an engine has no way."""
    try:
        result = await node.exec(["sh", "-c", f'cd "${STATE_VARIABLE}" && grep -H . noted-*'])
    except UnsupportedError:
        return {}
    lines = [line.removeprefix("noted-").split(":") for line in result.stdout.decode().split()]
    return {int(start): int(count) for start, count in lines if start.isdigit()}


async def caught_up(network: Network) -> None:
    """Wait until all that has arrived was delivered."""
    await network.pipeline.reach(network.mark().position)


async def nothing_left(engine: Engine, run_id: str, *, within: float = WITHIN) -> None:
    """Fail if something of a run still exists after `within` seconds."""
    with anyio.move_on_after(within):
        # The outside world, which no stream tells of.
        while await engine.leftovers(run_id):  # noqa: ASYNC110  # as above
            await anyio.sleep(0.05)
    assert await engine.leftovers(run_id) == []


class Gap(msgspec.Struct, frozen=True):
    """A numbered line that did not follow the one before it."""

    start: int
    expected: int
    found: int


@final
class Tally:
    """Checks, as they come, that numbered lines come each once and in order."""

    def __init__(self, node: Node) -> None:
        self.last: dict[int, int] = {}
        """For each start of the node, its last line's number."""
        self.gaps: list[Gap] = []
        node.events(Numbered, since=0).subscribe(self._take)

    def _take(self, event: Event[Numbered]) -> None:
        start, n = event.data.start, event.data.n
        expected = self.last.get(start, 0) + 1
        if n != expected or start < max(self.last, default=0):
            self.gaps.append(Gap(start, expected, n))
        self.last[start] = n
