"""Support for tests: of Lucy, of engines, and of tests that are written with Lucy.

Scripted nodes, which are real programs that do what a test says; a fake engine, whose nodes are functions; an event
loop in virtual time; and a check that nothing was left behind. The suite that every engine has to pass is
`lucy_core.testing.engine_conformance`.
"""

from lucy_core.testing.fake_engine import FakeEngine, FakeNode
from lucy_core.testing.leaks import Held, left_behind, no_leaks
from lucy_core.testing.scripted_node import Dialled, Numbered, Told, scripted_node
from lucy_core.testing.virtual_network import VirtualNetwork, virtual_network
from lucy_core.testing.virtual_time import BACKEND, VirtualTimeLoop, run

__all__ = [
    "BACKEND",
    "Dialled",
    "FakeEngine",
    "FakeNode",
    "Held",
    "Numbered",
    "Told",
    "VirtualNetwork",
    "VirtualTimeLoop",
    "left_behind",
    "no_leaks",
    "run",
    "scripted_node",
    "virtual_network",
]
