"""Starting a program for the guardian. Standard library only."""

import contextlib
import ctypes
import errno
import os
import signal
from collections.abc import Mapping

from lucy_engines.process.orders import Identity

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def spawn(
    argv: list[str],
    environment: Mapping[str, str],
    directory: str,
    descriptors: tuple[int, int, int],
    guardian: int,
    group: int | None = None,
    identity: Identity | None = None,
) -> int:
    """Start a program in a session of its own, with default signals; return its pid.

    The kernel kills it should the guardian die. `group` is the door of a control group that it enters before it runs,
    where that can be had, and `identity` as whom it runs from then on.

    Raises:
        OSError: it can't be executed; the error of `execve`, sent back through a pipe that a successful one closes.
    """
    report, told = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
        if pid == 0:
            _become(argv, environment, directory, descriptors, guardian, told, group, identity)
    except BaseException:
        os.close(report)
        raise
    finally:
        os.close(told)
    try:
        failure = os.read(report, 4096).decode(errors="replace")
    finally:
        os.close(report)
    if failure:
        os.waitpid(pid, 0)
        number, _, name = failure.partition(" ")
        raise OSError(int(number), os.strerror(int(number)), name)
    return pid


def _become(
    argv: list[str],
    environment: Mapping[str, str],
    directory: str,
    descriptors: tuple[int, int, int],
    guardian: int,
    told: int,
    group: int | None,
    identity: Identity | None,
) -> None:
    """Be the program from here on, or say why not and end."""
    failure = f"{errno.EINVAL} "
    try:
        os.setsid()
        if group is not None:
            with contextlib.suppress(OSError):  # it is known by its other signs then
                os.write(group, b"0")
        for default in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(default, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for target, source in enumerate(descriptors):
            os.dup2(source, target)
        os.chdir(directory)
        if identity is not None:
            os.setgroups(identity.groups)
            os.setgid(identity.groups[0])
            os.setuid(identity.user)
        # Last: the kernel forgets it when the user changes.
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(127)  # the guardian died before the line above
        os.execve(argv[0], argv, environment)  # noqa: S606  # the program that was asked for
    except OSError as error:
        failure = f"{error.errno} {error.filename or argv[0]}"
    except BaseException as error:  # noqa: BLE001  # a NUL in a word, no name of a variable: there is nobody above
        failure = f"{errno.EINVAL} {error}"
    finally:
        os.write(told, failure.encode(errors="backslashreplace"))
        os._exit(127)
