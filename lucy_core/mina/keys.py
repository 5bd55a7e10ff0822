"""Throw-away identities for a test network's accounts and peers.

They have the shape of Mina's (Base58Check with its version bytes), are derived from a seed and a name by hashing, and
are **not points on a curve**: the simulated node takes them, a real daemon does not. For real images give a directory
of real key files (`keys_directory`), one file an account with its `.pub` beside it, as `mina advanced generate-keypair`
writes them. Formats: Mina's `secret_box.ml` and `sample_keypairs.ml`.
"""

import hashlib
from pathlib import Path

import msgspec

from lucy_core.errors import TopologyError, shown

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PASSWORD = "naughty blue worm"  # noqa: S105  # the fixed one of Mina's integration tests
"""What test key files are locked with, in Mina's own test networks too."""


def _base58(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def _checked(data: bytes) -> str:
    return _base58(data + hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4])


class Keypair(msgspec.Struct, frozen=True):
    """An account's keys: `public` as `B62q…`, and the text of its key file."""

    public: str
    file: bytes


def simulated_keypair(seed: str, account: str) -> Keypair:
    """Make the keys of an account of a simulated network; the same seed and name give the same keys."""
    digest = hashlib.sha256(f"{seed}/account/{account}".encode(errors="surrogateescape")).digest()
    public = _checked(b"\xcb\x01\x01" + digest + b"\0")
    text = {"simulated_key_of": account, "public_key": public}
    return Keypair(public, msgspec.json.encode(text) + b"\n")


def simulated_peer_id(seed: str, node: str) -> str:
    """Make the libp2p identity of a simulated node: `12D3KooW…`."""
    return _base58(
        bytes.fromhex("002408011220") + hashlib.sha256(f"{seed}/peer/{node}".encode(errors="surrogateescape")).digest()
    )


def read_keypair(directory: Path, account: str) -> Keypair:
    """Read an account's real key file and its `.pub`.

    Raises:
        TopologyError: one of them can't be read.
    """
    try:
        path = directory / account
        return Keypair(path.with_name(f"{account}.pub").read_text().strip(), path.read_bytes())
    except (OSError, ValueError) as error:  # a key that is no text, or a path with a NUL
        where = error.filename if isinstance(error, OSError) else str(directory)
        why = error.strerror if isinstance(error, OSError) else error
        reason = f": {shown(str(where))}: {why}; put its key file and .pub there"
        raise TopologyError(f"account {account!r}", reason) from error
