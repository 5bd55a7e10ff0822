"""How one of several sources of a node is named, wherever a log, a row or an account is a source's. Bare.

A *key* is a node's name, for all that it has one source for: `db`. Of a node with several, each of the others has a
name behind a slash: `db/stderr`, `db/data/log/server.log`. No node's name has a slash in it, so the key of an old
recording is what it was, a node's name; and a source's log stands in a directory of its node, for `grep -r`.
"""

SLASH = "/"


def key_of(node: str, source: str = "") -> str:
    """Name a source of a node."""
    return f"{node}{SLASH}{source}" if source else node


def node_of(key: str) -> str:
    """Return whose source it is."""
    return key.partition(SLASH)[0]


def source_of(key: str) -> str:
    """Return what it is called among the sources of its node; empty for the one without a name of its own."""
    return key.partition(SLASH)[2]


def readable(text: str) -> str:
    """Return a text as rows can have it: a file's name may be no text in any encoding, and then has backslashes."""
    return text.encode(errors="backslashreplace").decode()
