"""Lucy: run a network of real nodes, capture every line they log, and test over those lines as typed streams.

What is public here is what `lucy_core.face` lists. Support for tests of tests is in `lucy_core.testing`, the contract
for authors of engines in `lucy_core.engine`, and each vocabulary in a package of its own.

The face is imported when the first of its names is used, and not with the package: that takes a quarter of a second,
in which the command `lucy` would not hear Ctrl-C, and which every pytest session would pay that has Lucy installed and
doesn't use her.
"""

TYPE_CHECKING = False  # checkers take it for typing's, whose import alone takes longer than all else here
if TYPE_CHECKING:
    from lucy_core.face import *  # noqa: F403  # the one list stands there

_MISSING = object()


def __getattr__(name: str) -> object:
    """Find a name of the face, or a room, that was not asked for before."""
    import importlib.util

    may_be_there = name == "__all__" or not name.startswith("__")
    room = importlib.util.find_spec(f"{__name__}.{name}") if may_be_there else None
    if room is not None and room.origin is not None:  # a directory that a removed room has left is none
        return importlib.import_module(f"{__name__}.{name}")
    face = importlib.import_module(f"{__name__}.face") if may_be_there else object()
    value: object = _listed(face) if name == "__all__" else getattr(face, name, _MISSING)
    if value is _MISSING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _listed(face: object) -> list[str]:
    return [name for name in vars(face) if not name.startswith("_")]


def __dir__() -> list[str]:
    from lucy_core import face

    return sorted({*globals(), *_listed(face)})
