"""A run's options: what nobody knows, and what makes no sense, is refused by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lucy_core as lucy
from lucy_core import mina
from lucy_core.arguments import some_seconds
from lucy_core.engine import is_on
from lucy_core.run.options import Options, number_option, options_of_all_engines
from lucy_engines.docker import DockerEngine
from lucy_engines.process import ProcessEngine

TOPOLOGY = mina.Topology(accounts=(mina.Account("k", "1000"),), block_producers=(mina.BlockProducer("bp", "k"),))


@pytest.mark.parametrize(
    ("given", "said"),
    (
        ({"seed": 3}, "options['seed']=3 is of type int; give text: '3'"),
        ({3: "seed"}, "a key of options=3"),
        (["seed=3"], "give a mapping, like {'seed': '3'}"),
        ({"program": "a\0b"}, "has a NUL in it"),
    ),
)
def test_options_are_text_by_text(given: Any, said: str) -> None:
    with pytest.raises(lucy.UsageError) as refused:
        Options(given)

    assert said in str(refused.value)


def test_an_option_that_nobody_asks_for_is_refused_with_those_that_there_are() -> None:
    options = Options({"seed": "1", "genesis_dely": "5"})
    TOPOLOGY.network_spec(options)

    with pytest.raises(
        lucy.UsageError, match=r"no option is called 'genesis_dely'; did you mean genesis_delay\?"
    ) as not_known:
        options.check(ProcessEngine())
    for known in ("keys_directory", "mina_image", "program", "seed", "statistics"):
        assert known in str(not_known.value)


def test_what_topology_or_engine_know_is_no_slip_nor_is_the_seed() -> None:
    options = Options({"seed": "1", "genesis_delay": "5", "docker_memory": "1g"})
    TOPOLOGY.network_spec(options)

    options.check(DockerEngine())
    Options({"seed": "1"}).check(ProcessEngine())
    with pytest.raises(lucy.UsageError, match="docker_memory"):
        options.check(ProcessEngine())
    options.check(ProcessEngine(), also=options_of_all_engines)


def test_who_goes_through_all_options_may_mean_any() -> None:
    options = Options({"colour": "red"})

    assert dict(options) == {"colour": "red"}
    options.check(ProcessEngine())


@pytest.mark.parametrize(
    ("given", "said"),
    (
        ({"statistics": "maybe"}, "option statistics='maybe' is neither on nor off; give '1' or '0'"),
        ({"capture": "carrier pigeon"}, "is none of auto, fifo, tcp, engine; give one of them"),
    ),
)
def test_a_value_that_an_engine_does_not_know_is_refused_with_those_it_does(given: dict[str, str], said: str) -> None:
    with pytest.raises(lucy.UsageError) as refused:
        Options(given).check(DockerEngine())

    assert said in str(refused.value)


def test_a_switch_can_be_off() -> None:
    words = ("1", "yes", "True", "on", "0", "no", "False", "off", "")
    assert [is_on({"statistics": word}, "statistics") for word in words] == [True] * 4 + [False] * 5


@pytest.mark.parametrize("text", ("soon", "", "nan", "-1", "0", "inf", "1e400", "1_0_", "\udcff"))
def test_an_option_that_is_no_such_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(lucy.TopologyError, match=r"option pace="):
        number_option({"pace": text}, "pace", 1.0, some_seconds)


@pytest.mark.parametrize("text", ("soon", "nan", "-1", "inf", "1e300"))
def test_a_topology_refuses_a_delay_that_never_ends(text: str) -> None:
    with pytest.raises(lucy.TopologyError, match="option genesis_delay="):
        TOPOLOGY.network_spec({"genesis_delay": text})


class Plain:
    vocabulary = None

    def network_spec(self, options: Mapping[str, str]) -> Any:
        return options.get("what", "no spec")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "said"),
    (
        ({"topology": {"nodes": []}}, "topology={'nodes': []} describes no network; give a NetworkSpec"),
        ({"topology": mina.Topology}, "describes no network; call it"),
        ({"topology": None}, "topology=None describes no network"),
        ({"topology": Plain()}, "which is no NetworkSpec"),
        ({"options": {"seed": 3}}, "options['seed']=3"),
        ({"options": {"sede": "3"}}, "did you mean seed?"),
        ({"engine": "proces"}, "proces"),
        ({"engine": ProcessEngine}, "make one of the class"),
        ({"engine": 5}, "engine=5 is no engine; give an engine or the name of one"),
        ({"run_directory": b"run"}, "run_directory=b'run' is of type bytes; give a path"),
        ({"run_directory": "a\0b"}, "has a NUL in it"),
        ({"run_directory": None, "run_id": "../up"}, "run_id='../up' can't name a directory"),
        ({"start": None}, "start=None"),
        ({"test": 5}, "test=5"),
    ),
)
async def test_what_can_not_be_deployed_is_one_sentence_and_leaves_nothing(
    arguments: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"topology": TOPOLOGY, "run_directory": tmp_path / "run", **arguments}
    with pytest.raises(lucy.LucyError) as refused:
        async with lucy.deploy(**given):
            raise AssertionError

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
