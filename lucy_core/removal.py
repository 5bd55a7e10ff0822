"""Removing what nodes have made: directories that nobody may write into (a module cache of Go's is 0555), and links.

No link is followed: what it leads to was made by somebody else, and for something else.
"""

import contextlib
import stat
from pathlib import Path

_ALL = 0o700


def remove(*paths: Path) -> None:
    """Remove files, links, and directories with all that is in them; what isn't there is removed.

    What can't be removed doesn't keep the rest.

    Raises:
        OSError: the first thing that can't be, named in `filename`.
    """
    trouble: OSError | None = None
    directories: list[Path] = []
    left = [*paths]
    while left:
        place = left.pop()
        try:
            if _is_directory(place):
                directories.append(place)
                left += _entries(place)
            else:
                place.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            trouble = trouble or error
    for directory in reversed(directories):  # what is in one comes behind it
        try:
            directory.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble


def make_empty(path: Path) -> None:
    """Have an empty directory there, its owner's alone. One that is there is kept; a link in its place is not.

    Raises:
        OSError: something in it can't be removed; all else is.
    """
    if not path.is_dir() or path.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        path.mkdir(mode=_ALL, parents=True)
    remove(*_entries(path))


def _is_directory(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _entries(directory: Path) -> list[Path]:
    """List a directory, and see to it that what is in it may be removed."""
    mode = directory.stat().st_mode
    if mode & _ALL != _ALL:
        with contextlib.suppress(PermissionError):  # it is another user's: removing tells
            directory.chmod(stat.S_IMODE(mode) | _ALL)
    return list(directory.iterdir())
