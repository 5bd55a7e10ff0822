"""Which way lines take with which Engine."""

from pathlib import Path

import pytest

from lucy_core.engine import NetworkSpec, NodeSpec, RunPlace
from lucy_core.errors import DeployError, TopologyError
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.plan.config import docker_config
from lucy_engines.docker.plan.inside import LOG, STDERR_LOG
from lucy_engines.docker.plan.routes import EngineFacts, Route, choose_route, routed

HERE = EngineFacts(
    endpoint=Endpoint("unix:///var/run/docker.sock"),
    operating_system="Debian GNU/Linux 12 (bookworm)",
    gateway="172.18.0.1",
    platform="linux",
)
DESKTOP = EngineFacts(
    endpoint=Endpoint("unix:///home/me/.docker/desktop/docker.sock"),
    operating_system="Docker Desktop",
    gateway="172.18.0.1",
    platform="linux",
)
MACINTOSH = EngineFacts(endpoint=Endpoint("unix:///var/run/docker.sock"), operating_system="Alpine", platform="darwin")
REMOTE = EngineFacts(endpoint=Endpoint("tcp://10.0.0.7:2375"), own_address="10.0.0.2", platform="linux")


@pytest.mark.parametrize(
    ("facts", "kind"),
    ((HERE, "fifo"), (DESKTOP, "tcp"), (MACINTOSH, "tcp"), (REMOTE, "engine")),
    ids=("here", "desktop", "macintosh", "remote"),
)
def test_each_engine_gets_the_best_way_that_works_with_it(facts: EngineFacts, kind: str) -> None:
    route = choose_route(facts)

    assert route.kind == kind
    assert route.why


@pytest.mark.parametrize(
    ("facts", "listen", "reach"),
    (
        (HERE, "172.18.0.1", "172.18.0.1"),
        (DESKTOP, "127.0.0.1", "host.docker.internal"),
        (REMOTE, "10.0.0.2", "10.0.0.2"),
    ),
    ids=("here", "desktop", "remote"),
)
def test_over_tcp_lucy_listens_where_containers_reach_her_and_nowhere_else(
    facts: EngineFacts, listen: str, reach: str
) -> None:
    route = choose_route(facts, wanted="tcp")

    assert (route.kind, route.listen, route.reach) == ("tcp", listen, reach)


@pytest.mark.parametrize(
    ("facts", "wanted", "shared", "message"),
    (
        (REMOTE, "fifo", False, "a FIFO can't reach into containers of tcp://10.0.0.7:2375"),
        (DESKTOP, "fifo", False, "a FIFO can't reach"),
        (REMOTE, "auto", True, "--shared-pipe needs FIFOs, and lines come by way of engine here"),
        (HERE, "tcp", True, "--shared-pipe needs FIFOs"),
        (EngineFacts(endpoint=HERE.endpoint, platform="linux"), "tcp", False, "there is none; use --capture engine"),
    ),
)
def test_what_can_not_work_is_refused_with_what_can(
    facts: EngineFacts, wanted: str, shared: bool, message: str
) -> None:
    with pytest.raises(DeployError, match=message):
        choose_route(facts, wanted=wanted, shared=shared)


def body(**options: str) -> dict:
    spec = NetworkSpec(name="net", nodes=(NodeSpec(name="a", role="any", command=("mina",)),))
    place = RunPlace(run_id="run", directory=Path("/runs/run"), options=options)
    return docker_config(spec, place).containers["a"].body


def environment(body: dict) -> dict[str, str]:
    return dict(each.split("=", 1) for each in body["Env"])


def test_a_container_is_told_the_way_and_no_fifo_is_mounted_that_is_not_used() -> None:
    route = Route(kind="tcp", why="", listen="127.0.0.1", reach="lucy")

    got = routed(body(), route, ports=(4711,), token="t0", keep="Warn")

    told = environment(got)
    assert (told["LUCY_CAPTURE"], told["LUCY_ADDRESS"], told["LUCY_TOKEN"]) == ("tcp", "lucy:4711", "t0")
    assert told["LUCY_CAPTURE_FILTER"] == "Warn"
    assert len(told) == len(got["Env"])
    assert LOG not in {mount["Target"] for mount in got["HostConfig"]["Mounts"]}


def test_a_container_whose_streams_are_apart_sees_a_fifo_for_each() -> None:
    node = NodeSpec(name="a", role="any", command=("mina",), streams="apart")
    place = RunPlace(run_id="run", directory=Path("/runs/run"))
    got = docker_config(NetworkSpec(name="net", nodes=(node,)), place).containers["a"].body

    told = environment(got)
    assert (told["LUCY_STREAMS"], told["LUCY_LOG"], told["LUCY_STDERR_LOG"]) == ("apart", LOG, STDERR_LOG)
    sources = {mount["Target"]: mount["Source"] for mount in got["HostConfig"]["Mounts"]}
    assert (sources[LOG], sources[STDERR_LOG]) == ("/runs/run/fifos/a:stdout", "/runs/run/fifos/a:stderr")
    assert {"LUCY_STREAMS", "LUCY_STDERR_LOG"}.isdisjoint(environment(body()))


def test_nodes_that_share_a_pipe_all_see_the_same_one() -> None:
    got = routed(body(), Route(kind="shared", why=""), log="/runs/run/fifos/_shared", token="t0")

    assert "LUCY_TOKEN" not in environment(got)  # it would say what none of them has to know
    sources = {mount["Target"]: mount["Source"] for mount in got["HostConfig"]["Mounts"]}
    assert sources[LOG] == "/runs/run/fifos/_shared"


def test_a_filter_that_makes_no_sense_is_refused_before_anything_is_made() -> None:
    with pytest.raises(TopologyError, match="capture_filter='level >=' is no filter"):
        body(capture_filter="level >=")
