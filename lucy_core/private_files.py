"""Directories and files that are their user's alone, made where somebody else may have been before.

A run directory holds what nodes say, their keys, and FIFOs that they write to. On a shared machine, and above all where
root runs Lucy, another user may have put a directory where one is about to be made, or links into it that lead
elsewhere. So a directory that is there already is looked at through a descriptor: whose it is, and whose and of what
kind all that is in it. Once it is ours alone nobody else gets in, and paths below it need no further look.

What is checked belongs to this process's user. A directory that we have made ourselves is not asked whose it is: some
file systems (a virtual machine's shares, FAT) answer the same for all of them.
"""

import contextlib
import errno
import os
import pwd
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ACCESS_LIST = "system.posix_acl_access"
_LIST_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
"""A line of an access list as the kernel has it: of what kind, which rights, and who, where its kind has several."""
_OWNER, _USER, _GROUP, _MASK, _OTHERS = 1, 2, 4, 16, 32
_NOBODY = 0xFFFFFFFF
_PASS = 1
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def make_private(directory: Path, parts: Sequence[str] = ()) -> None:
    """Have a directory that is this user's alone, with such parts in it.

    One that is there already is taken if it is this user's, and holds neither links nor anything of anybody else's.

    Raises:
        OSError: it can't be made, or taken; `strerror` says why, and what to do.
    """
    made = True
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        made = False
    status = directory.lstat()
    is_link = stat.S_ISLNK(status.st_mode)
    if is_link and status.st_uid not in (os.geteuid(), 0):
        _refuse(f"it is a link that {_user(status.st_uid)} has made; choose another directory")
    descriptor = os.open(directory, _OPEN_DIRECTORY | (0 if is_link else os.O_NOFOLLOW))
    try:
        if not made:
            owner = os.fstat(descriptor).st_uid
            if owner != os.geteuid():
                _refuse(f"it belongs to {_user(owner)}, who could change what is written there; choose another")
        # First: from here on nobody else puts anything in.
        os.fchmod(descriptor, 0o700)
        if not made:
            _check(descriptor, "")
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=descriptor)  # below a descriptor
            if not made:
                inner = os.open(part, _OPEN_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                try:
                    _check(inner, f"{part}/")
                finally:
                    os.close(inner)
    finally:
        os.close(descriptor)


def _check(directory: int, prefix: str) -> None:
    """Refuse links, and whatever is another user's, in a directory that is ours alone by now."""
    for name in os.listdir(directory):  # of a descriptor
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)  # as above
        if stat.S_ISLNK(status.st_mode):
            _refuse(f"{prefix}{name} in it is a link, and leads elsewhere; remove it, or choose another directory")
        if status.st_uid != os.geteuid():
            owner = _user(status.st_uid)
            _refuse(f"{prefix}{name} in it belongs to {owner}; remove it, or choose another directory")


def check_shared(directory: Path) -> None:
    """Check that nobody else can put something else in the place of what is about to be made in a directory.

    Raises:
        OSError: it is another user's, but root's, or all may remove each other's files there.
    """
    status = directory.stat()
    if status.st_uid not in (os.geteuid(), 0):
        _refuse(f"it belongs to {_user(status.st_uid)}, who could change what is written there; choose another")
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        _refuse("everybody may write there, and replace what is written; choose another, or take that right away")


def let_through(directory: Path, user: int) -> None:
    """Let one more user pass through a directory of ours, to what is theirs below it.

    An entry in its access list says so, of that user alone: what is there they can neither list nor change, and
    everybody else is kept out as before. Asked of who can't pass yet: of others it could take rights away.

    Raises:
        OSError: it isn't ours, or its file system keeps no such lists.
    """
    descriptor = os.open(directory, _OPEN_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            _refuse(f"it belongs to {_user(status.st_uid)}")
        entries = _access_list(descriptor, status.st_mode)
        entries[_USER, user] = _PASS
        entries[_MASK, _NOBODY] = _PASS | entries.get((_MASK, _NOBODY), entries[_GROUP, _NOBODY])
        listed = b"".join(_ENTRY.pack(tag, rights, who) for (tag, who), rights in sorted(entries.items()))
        os.setxattr(descriptor, _ACCESS_LIST, _LIST_VERSION + listed)
    finally:
        os.close(descriptor)


def _access_list(directory: int, mode: int) -> dict[tuple[int, int], int]:
    """Return a directory's access list, rights by whom they are of: what its mode says, where it has none."""
    try:
        listed = os.getxattr(directory, _ACCESS_LIST)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return {(_OWNER, _NOBODY): mode >> 6 & 7, (_GROUP, _NOBODY): mode >> 3 & 7, (_OTHERS, _NOBODY): mode & 7}
    return {(tag, who): rights for tag, rights, who in _ENTRY.iter_unpack(listed[len(_LIST_VERSION) :])}


def write_private(directory: Path, name: str, content: bytes) -> None:
    """Write a file that its user alone may read, whole or not at all; it takes the place of one that is there.

    Through no link: neither one of its own name, which is replaced, nor one of its draft's.

    Raises:
        OSError: it can't be written; what was there still is.
    """
    place = os.open(directory, _OPEN_DIRECTORY)
    draft = f".{name}.draft"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=place)  # below a descriptor
        try:
            with os.fdopen(os.open(draft, _NEW_FILE, 0o600, dir_fd=place), "wb") as file:
                file.write(content)
            os.replace(draft, name, src_dir_fd=place, dst_dir_fd=place)  # as above
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=place)  # as above
            raise
    finally:
        os.close(place)


def create_private(path: Path, content: bytes) -> None:
    """Write a file that nobody has made yet, for its user alone to read.

    Raises:
        FileExistsError: there is something of that name, a link that leads nowhere too.
        OSError: it can't be written.
    """
    with os.fdopen(os.open(path, _NEW_FILE, 0o600), "wb") as file:
        file.write(content)


def _refuse(reason: str) -> None:
    raise PermissionError(errno.EPERM, reason)


def _user(number: int) -> str:
    try:
        return f"{pwd.getpwuid(number).pw_name} (user {number})"
    except KeyError:
        return f"user {number}"
