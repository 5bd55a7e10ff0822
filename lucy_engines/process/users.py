"""As whom a node runs, where its spec says so: looked up before anything is made."""

import grp
import os
import pwd
from collections.abc import Mapping
from typing import NamedTuple, Never

from lucy_core.engine import NodeSpec
from lucy_core.errors import TopologyError
from lucy_engines.process.orders import Identity


class User(NamedTuple):
    """Another user than the one who runs Lucy."""

    name: str
    identity: Identity
    variables: Mapping[str, str]
    """What an environment says of a user, in the place of what it says of us."""


def user_of(spec: NodeSpec) -> User | None:
    """Look up as whom a node runs, or return None where that is who runs Lucy.

    Raises:
        TopologyError: there is no such user or group, or it takes root to run as that user.
    """
    if spec.user is None:
        return None
    name, _, group = spec.user.partition(":")
    entry = _entry(name)
    if entry is None and not name.isdecimal():
        _refuse(spec, f"names a user whom this machine doesn't have: {name!r}; make that user, or take another")
    if entry is None and not group:
        _refuse(spec, f"names a user of whom nothing is known here; give the group too: '{name}:{name}'")
    if entry is None:
        number, own = int(name), _group(spec, group)
        groups = [own]
    else:
        number, own = entry.pw_uid, _group(spec, group) if group else entry.pw_gid
        groups = [own, *os.getgrouplist(entry.pw_name, own)]
    if (number, own) == (os.geteuid(), os.getegid()):
        return None
    if os.geteuid() != 0:
        me = _entry(str(os.geteuid()))
        whose = f"user {os.geteuid()}" if me is None else me.pw_name
        _refuse(spec, f"takes a Lucy that root runs, and {whose} runs this one; run her as root, or leave it out")
    variables = {} if entry is None else {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
    return User(spec.user, Identity(number, tuple(dict.fromkeys(groups))), variables)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        return None


def _group(spec: NodeSpec, name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        _refuse(spec, f"names a group that this machine doesn't have: {name!r}; make that group, or take another")


def _refuse(spec: NodeSpec, reason: str) -> Never:
    raise TopologyError(f"node {spec.name!r}", f": user={spec.user!r} {reason}")
