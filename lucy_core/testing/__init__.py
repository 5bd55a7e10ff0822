"""Support for tests: of Lucy, of engines, and of tests that are written with Lucy.

Scripted nodes, which are real programs that do what a test says; a fake engine, whose nodes are functions; an event
loop in virtual time; and a check that nothing was left behind. The suite that every engine has to pass is
`lucy_core.testing.engine_conformance`, and that of log formats `lucy_core.testing.format_conformance`.
"""

from lucy_core.testing.fake_engine import FakeEngine as FakeEngine, FakeNode as FakeNode
from lucy_core.testing.leaks import Held as Held, left_behind as left_behind, no_leaks as no_leaks
from lucy_core.testing.scripted_node import (
    Dialled as Dialled,
    Numbered as Numbered,
    Told as Told,
    scripted_node as scripted_node,
)
from lucy_core.testing.virtual_network import VirtualNetwork as VirtualNetwork, virtual_network as virtual_network
from lucy_core.testing.virtual_time import BACKEND as BACKEND, VirtualTimeLoop as VirtualTimeLoop, run as run
