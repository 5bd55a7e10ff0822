"""Where an engine has put a node, and what the placeholders of a spec come to there."""

import ipaddress
import re

import msgspec

from lucy_core.errors import TopologyError, shown


class HostForm(msgspec.Struct, frozen=True):
    """How a kind of network writes where a node is. In both texts `{}` stands for what nodes reach it at."""

    name: str
    """Where that is a name: `/dns4/{}`."""
    address: str
    """Where that is an IP address: `/ip4/{}`."""

    def of(self, host: str) -> str:
        """Write it."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return self.name.replace("{}", host)
        return self.address.replace("{}", host)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine has put one node: what the placeholders of its `NodeSpec` stand for."""

    directory: str
    """`{directory}`: absolute, as the node sees it."""
    state: str
    """`{state}`: absolute, as the node sees it."""
    bind: str
    """`{bind}`."""
    hosts: dict[str, str]
    """`{host:…}`: what each node is reached at by the others."""
    host_forms: dict[str, HostForm]
    """The network's own placeholders for where nodes are."""
    ports: dict[str, dict[str, int]]
    """`{port:…}`: the number of each port, by node and by the port's name."""


_PLACEHOLDER = re.compile(r"\{(directory|state|bind|\w+:[^{}]+)\}")


def fill_in(text: str, node: str, layout: Layout) -> str:
    """Replace a text's placeholders; braces of any other kind (JSON, say) stay as they are.

    Raises:
        TopologyError: a placeholder names a node or port that isn't there.
    """

    def value(match: re.Match[str]) -> str:
        kind, _, name = match[1].partition(":")
        try:
            match kind:
                case "directory":
                    return layout.directory
                case "state":
                    return layout.state
                case "bind":
                    return layout.bind
                case "file" if name.startswith("/") or ".." in name.split("/"):
                    raise TopologyError(
                        f"node {node!r}", f"refers to {shown(match[0])[1:-1]}, which is not below its directory"
                    )
                case "file":
                    return f"{layout.directory}/{name}"
                case "host":
                    return layout.hosts[name]
                case "port":
                    owner, dot, port = name.rpartition(".")
                    return str(layout.ports[owner if dot else node][port])
                case _ if kind in layout.host_forms:
                    return layout.host_forms[kind].of(layout.hosts[name])
                case _:
                    return match[0]
        except KeyError as missing:
            reason = f"refers to {shown(match[0])[1:-1]}, but there is no {shown(missing.args[0])}"
            raise TopologyError(f"node {node!r}", reason) from None

    return _PLACEHOLDER.sub(value, text)


_NO_TEXT = re.compile(rb"[^\t\n\f\r\x1b\x20-\x7e\x80-\xfe]")
"""What no text in an encoding of one byte has, and a binary file, a key say, has soon."""


def fill_in_bytes(content: bytes, node: str, layout: Layout) -> bytes:
    """Replace the placeholders of a file that is text, and leave all else in it; a binary file stays as it is.

    Text is what is UTF-8, and what has no bytes but those of letters, signs and white space. Raises as `fill_in`.
    """
    try:
        content.decode()
    except UnicodeDecodeError:
        if _NO_TEXT.search(content):
            return content
    return fill_in(content.decode(errors="surrogateescape"), node, layout).encode(errors="surrogateescape")
