"""Identifiers that look like Mina's, derived from content by hashing instead of by cryptography.

Prefixes and lengths are Mina's: Base58Check with its version bytes, so that a parser written for the real thing
accepts them (state hashes `3N…` of 52 characters, public keys `B62q…` of 55, peer ids `12D3KooW…`).
"""

import hashlib

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def _base58(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    pairs: list[str] = []
    while number:  # two digits a division: a third of the time of one by one
        number, pair = divmod(number, 3364)
        pairs.append(_PAIRS[pair])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(pairs)).lstrip("1")


def _base58check(version: bytes, content: bytes) -> str:
    data = version + hashlib.sha256(content).digest()
    return _base58(data + hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4])


def state_hash(content: bytes) -> str:
    """Name a block: `3N…`, 52 characters."""
    return _base58check(b"\x10\x01", content)


def state_body_hash(content: bytes) -> str:
    """Name a block's body: `3W…`, 52 characters."""
    return _base58check(b"\x11\x01", content)


def ledger_hash(content: bytes) -> str:
    """Name a ledger: `jw…` or `jx…`, 51 characters."""
    return _base58check(b"\x05\x01", content)


def transaction_hash(content: bytes) -> str:
    """Name a transaction: `5Ju…`, 52 characters."""
    return _base58check(b"\x1d\x20", content)


def public_key(content: bytes) -> str:
    """Derive a public key's text from anything: `B62q…`, 55 characters."""
    data = b"\xcb\x01\x01" + hashlib.sha256(content).digest() + b"\0"
    return _base58(data + hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4])


def peer_id(content: bytes) -> str:
    """Derive a libp2p peer id from anything: an Ed25519 key's identity multihash, `12D3KooW…`."""
    return _base58(bytes.fromhex("002408011220") + hashlib.sha256(content).digest())
