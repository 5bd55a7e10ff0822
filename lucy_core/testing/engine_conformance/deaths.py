"""Death: a node that ends by itself is told at once, with how it ended and what it said last."""

import anyio
import pytest

from lucy_core.engine import State
from lucy_core.errors import LifeCycleError, NodeExitedError
from lucy_core.records.journal import NodeExited
from lucy_core.testing.engine_conformance.suite import WITHIN, Deploy, Script, Suite, said


class DeathConformance(Suite):
    """Exit codes, signals, expected ends."""

    @pytest.mark.parametrize(
        ("step", "how"),
        (
            ("exit:3", "exited with code 3"),
            ("exit:0", "exited with code 0"),
            ("die:SIGKILL", "was killed by SIGKILL"),
        ),
    )
    async def test_a_node_that_dies_ends_the_test_with_its_last_lines(
        self, step: str, how: str, deploy: Deploy, script: Script
    ) -> None:
        """Whatever the test awaits, and though other nodes live."""
        dying = script("b", "say:300", "complain:Address already in use", "mutter:and no more", step)
        with anyio.fail_after(WITHIN), pytest.raises(NodeExitedError) as caught:
            async with deploy(script("a", "tick"), dying):
                await anyio.sleep_forever()
        assert (caught.value.node, caught.value.how) == ("b", how)
        # An engine may add a line of what it knows of the end. It tears none of the node's, and keeps their order.
        last = [line for line in caught.value.last_lines if line in {"Address already in use", "and no more"}]
        assert last == ["Address already in use", "and no more"]

    async def test_an_expected_end_ends_no_test(self, deploy: Deploy, script: Script) -> None:
        """One of a one-shot node, and one that the test expects; a node that ended can be started again."""
        once = script("once", "say:3", "exit:0", wait_for_exit=True)
        async with deploy(once, script("b", "say:3", "exit:7"), start=False) as network:
            b = network["b"]
            once_exited = network.events(NodeExited, since=0).filter(lambda event: event.data.node == "once")
            with b.expecting_exit():
                await network.start_all()
                assert (await once_exited.first(within=WITHIN)).data.expected
                ended = network.events(NodeExited, since=0).filter(lambda event: event.data.node == "b")
                exited = (await ended.first(within=WITHIN)).data
                assert (exited.code, exited.signal, exited.expected) == (7, None, True)
                assert (network["once"].state, b.state) == (State.STOPPED, State.STOPPED)
                with pytest.raises(LifeCycleError, match="can't stop node b: it is stopped"):
                    await b.stop()
                mark = network.mark()
                await b.start()
                assert (await said(b, 3, since=mark)).data.start == 2
                await ended.first(lambda event: event.position > mark.position, within=WITHIN)
            assert network.fatal is None
            assert network.ledger.complete
