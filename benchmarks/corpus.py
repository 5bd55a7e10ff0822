"""A synthetic Mina log: seeded, numbered, of mixed sizes, prepared in memory before anything is measured.

A mean of 500 bytes a line, 5 % structured events, sizes from 200 bytes to 60 kB. Line `n` of a node carries `"n":n`, so
that whoever reads can tell a lost, doubled or moved line.
"""

import random

import msgspec

import lucy_core as lucy

EVENT_ID = "64e2d3e86c37c09b15efdaf7470ce879"
EVENT_EVERY = 20
_TEMPLATES = (
    ("Debug", "Network_pool__Transaction_pool", "Filtered $removed commands of $total from the pool"),
    ("Trace", "Transition_frontier", "Looked up breadcrumb $state_hash in the frontier"),
    ("Spam", "Libp2p_helper.Go.pubsub", "libp2p_helper: delivered $bytes bytes on $topic"),
    ("Info", "Ledger_catchup", "Catch-up scheduler holds $count jobs"),
    ("Debug", "Gossip_net__Libp2p", "Peer $sender asked for $rpc"),
)


@lucy.event(ids=EVENT_ID)
class Numbered(msgspec.Struct, frozen=True):
    """The structured lines of the corpus."""

    n: int


def lines(seed: int, count: int, *, first: int = 0) -> list[bytes]:
    """Make `count` lines of one node, numbered from `first`."""
    draw = random.Random(seed)  # noqa: S311  # noise, not secrets
    made = []
    for n in range(first, first + count):
        level, module, message = _TEMPLATES[draw.randrange(len(_TEMPLATES))]
        # Nine lines in ten are short, a few are very long: what a daemon without proofs logs.
        roll = draw.random()
        if roll < 0.9985:
            padding = draw.randrange(0, 300)
        elif roll < 0.9997:
            padding = draw.randrange(2_000, 30_000)
        else:
            padding = draw.randrange(30_000, 59_000)
        structured = n % EVENT_EVERY == 0
        text = (
            '{"timestamp":"2026-01-10 12:00:%02d.%06dZ","level":"%s","source":{"module":"%s","location":"File '
            '\\"src/lib/x/y.ml\\", line %d, characters 2-17"},"message":"%s","metadata":{"host":"10.0.0.2","n":%d,'
            '"peer_id":"12D3KooWExample","pid":7,"port":8302,"text":"%s"}%s}\n'
        ) % (
            n // 1000 % 60,
            n % 1_000_000,
            "Info" if structured else level,
            "Block_producer" if structured else module,
            draw.randrange(1000),
            "Successfully produced a new block" if structured else message,
            n,
            "x" * padding,
            f',"event_id":"{EVENT_ID}"' if structured else "",
        )
        made.append(text.encode())
    return made
