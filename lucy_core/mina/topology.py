"""Describing a Mina network, and what each of its daemons is run with.

Flags, roles and key files: Mina's `docker_node_config.ml` and `native_node_config.ml`. Two differences on purpose: the
log threshold is Trace, since half of the events are logged there and nothing is polled, and the genesis time lies
ahead, so that no slots pass before the daemons run.
"""

import math
import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from lucy_core.arguments import (
    Rule,
    fit,
    instance_of,
    optional,
    seconds_of,
    text_of,
    title_of,
    tuple_of,
    whole,
    word_of,
)
from lucy_core.engine import HostForm, NetworkSpec, NodeSpec
from lucy_core.errors import ArgumentError, TopologyError, shown
from lucy_core.mina.config import runtime_config
from lucy_core.mina.durations import EPOCHS, SLOTS
from lucy_core.mina.format import MinaFormat
from lucy_core.mina.keys import PASSWORD, Keypair, read_keypair, simulated_keypair, simulated_peer_id
from lucy_core.mina.topology_parts import Account, BlockProducer, Constants, SnarkCoordinator
from lucy_core.mina.vocabulary import VOCABULARY
from lucy_core.network.node import Node
from lucy_core.network.vocabulary import Vocabulary
from lucy_core.run.options import number_option

GENESIS_DELAY = 3.0
"""Seconds from now to slot 0: what four simulated daemons take to start and meet on two busy cores."""
LONGEST_DELAY = 1e8
"""Seconds, three years: a network that is exported for later may begin so late."""
HARMLESS = ("RAYON_NUM_THREADS", "LUCY_SIM_SEED")
"""Variables whose values may be shown: all but passwords."""
PORTS = ("client", "rest", "external", "metrics")
PROGRAM = "lucy-simnode"


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """A Mina network: accounts, who produces blocks with them, and protocol constants.

    Every network has `seeds` seed nodes, named `seed`, `seed-2` and so on.
    """

    name: str = "mina"
    """What the network is called."""
    accounts: tuple[Account, ...]
    """The accounts of the genesis ledger."""
    block_producers: tuple[BlockProducer, ...]
    """Who produces blocks, and with whose stake."""
    seeds: int = 1
    """How many seed nodes there are; one at least."""
    snark_coordinator: SnarkCoordinator | None = None
    """Who hands out proving work; None for nobody."""
    constants: Constants = Constants()
    """The protocol's."""
    extra_arguments: tuple[str, ...] = ()
    """More words for every daemon's command line, e.g. `("--log-flood", "2000")` for the simulated node."""

    def __post_init__(self) -> None:
        """Take lists for tuples, and refuse what is of no use in a field. Raises TopologyError."""
        fit(self, TOPOLOGY_RULES, lambda reason: TopologyError(f"topology {shown(self.name)}", f": {reason}"))

    @property
    def vocabulary(self) -> Vocabulary:
        """Mina's."""
        return VOCABULARY

    def validate(self) -> None:
        """Check what can be checked without an engine.

        Raises:
            TopologyError: naming what is wrong, and with what.
        """
        names = [account.name for account in self.accounts]
        for name in names:
            if names.count(name) > 1:
                reason = f"is there {names.count(name)} times; give each account its own name"
                raise TopologyError(f"account {name!r}", reason)
        users = [(node.name, node.account) for node in self.block_producers]
        if self.snark_coordinator is not None:
            users.append((self.snark_coordinator.name, self.snark_coordinator.account))
        for node, account in users:
            if account not in names:
                reason = f"uses account {account!r}, which is not in the ledger ({', '.join(names)})"
                raise TopologyError(f"node {node!r}", reason)
        for entry in self.accounts:
            _check_balance(entry)
            if entry.delegate is not None and entry.delegate not in names:
                reason = f"delegates to {entry.delegate!r}, which is not in the ledger"
                raise TopologyError(f"account {entry.name!r}", reason)
        if self.seeds < 1:
            raise TopologyError(f"seeds={self.seeds}", ": a network needs a seed node")
        if self.constants.slot_seconds <= 0:
            raise TopologyError(f"slot_seconds={self.constants.slot_seconds:g}", ": slots last more than no time")

    def network_spec(self, options: Mapping[str, str]) -> NetworkSpec:
        """Describe the network to an engine.

        Options: `seed` (any text; the same one gives the same keys and winners of slots), `mina_image` (for engines of
        containers: the image that has the daemon, as `mina`), `program` (the daemon, where it is called otherwise, or
        is to replace the simulated node), `keys_directory` (real key files), `genesis_delay` (seconds).

        Raises:
            TopologyError: it makes no sense.
        """
        self.validate()
        seed = options.get("seed", "0")
        delay = number_option(options, "genesis_delay", GENESIS_DELAY, _delay)
        # On a whole slot, so that logs of runs with whole-second slots are easy to read.
        genesis_time = float(math.ceil(time.time() + delay))
        directory = options.get("keys_directory")
        keys = {
            account.name: read_keypair(Path(directory), account.name)
            if directory
            else simulated_keypair(seed, account.name)
            for account in self.accounts
        }
        public = {name: keypair.public for name, keypair in keys.items()}
        build = _Nodes(self, options, seed, keys, runtime_config(self.accounts, public, self.constants, genesis_time))
        slot_seconds = self.constants.slot_seconds
        return NetworkSpec(
            name=self.name,
            nodes=build.all(),
            units={SLOTS: slot_seconds, EPOCHS: slot_seconds * self.constants.slots_per_epoch},
            counted_from=genesis_time,
            host_forms={"multiaddr": HostForm(name="/dns4/{}", address="/ip4/{}")},
        )


def _delay(value: Any, name: str) -> float:
    seconds = seconds_of(value, name)
    if seconds > LONGEST_DELAY:
        raise ArgumentError(name, value, f"is later than anybody waits for; give at most {LONGEST_DELAY:g} seconds")
    return seconds


def public_key(node: Node, account: str) -> str:
    """Return the public key of an account that a node holds the key file of.

    Raises:
        TopologyError: it holds none of that account.
    """
    instance_of(Node, "a node, such as network['bp-1']")(node, "node")
    content = node.spec.files.get(f"keys/{text_of(account, 'account')}.pub")
    if content is None:
        held = ", ".join(name[5:-4] for name in node.spec.files if name.startswith("keys/") and name.endswith(".pub"))
        raise TopologyError(
            f"node {node.name!r}", f"holds no key of account {shown(account)}; it holds {held or 'none'}"
        )
    return content.decode().strip()


def _check_balance(account: Account) -> None:
    try:
        balance = Decimal(account.balance)
        right = balance.is_finite() and balance >= 0
    except InvalidOperation:
        right = False
    if not right:
        reason = f"has balance {account.balance!r}; write MINA as a decimal, like '1000.5'"
        raise TopologyError(f"account {account.name!r}", reason)


TOPOLOGY_RULES: dict[str, Rule] = {
    "name": title_of,
    "accounts": tuple_of(instance_of(Account, "Account('alice', '1000')"), "(Account('alice', '1000'),)"),
    "block_producers": tuple_of(
        instance_of(BlockProducer, "BlockProducer('bp-1', 'alice')"), "(BlockProducer('bp-1', 'alice'),)"
    ),
    "seeds": whole,
    "snark_coordinator": optional(instance_of(SnarkCoordinator, "SnarkCoordinator('snark', 'alice')")),
    "constants": instance_of(Constants, "Constants(…)"),
    "extra_arguments": tuple_of(word_of, "('--log-flood', '2000')"),
}


class _Nodes:
    """Builds the node specs of one network."""

    def __init__(
        self, topology: Topology, options: Mapping[str, str], seed: str, keys: dict[str, Keypair], config: bytes
    ) -> None:
        self._topology = topology
        self._seed = seed
        self._keys = keys
        self._config = config
        self._image = options.get("mina_image")
        self._program = options.get("program", PROGRAM if self._image is None else "mina")
        self._seeds = ["seed", *(f"seed-{number}" for number in range(2, topology.seeds + 1))]

    def all(self) -> tuple[NodeSpec, ...]:
        topology = self._topology
        nodes = [self._daemon(name, "seed", ("-seed",), after=self._seeds[:1]) for name in self._seeds]
        for producer in topology.block_producers:
            role = (
                "-block-producer-key",
                f"{{file:keys/{producer.account}}}",
                "-enable-flooding",
                "true",
                "-enable-peer-exchange",
                "true",
            )
            node = self._daemon(producer.name, "block producer", role, account=producer.account)
            image = producer.image or node.image
            environment = {**node.environment, **producer.environment}
            own = [name for name in HARMLESS if name not in producer.environment]
            harmless = (*own, *producer.harmless)
            nodes.append(msgspec.structs.replace(node, image=image, environment=environment, harmless=harmless))
        coordinator = topology.snark_coordinator
        if coordinator is not None:
            key = self._keys[coordinator.account].public
            role = ("-run-snark-coordinator", key, "-snark-worker-fee", coordinator.fee, "-work-selection", "seq")
            nodes.append(self._daemon(coordinator.name, "snark coordinator", role))
            nodes += [self._worker(coordinator, number + 1) for number in range(coordinator.workers)]
        return tuple(nodes)

    def _daemon(
        self,
        name: str,
        role: str,
        arguments: tuple[str, ...],
        *,
        account: str | None = None,
        after: list[str] | None = None,
    ) -> NodeSpec:
        peers = [seed for seed in self._seeds if seed != name] if role != "seed" or name != "seed" else []
        files = {
            "runtime_config.json": self._config,
            "keys/libp2p_key": b'{"simulated_libp2p_key_of": "%b"}\n' % name.encode(),
            "keys/libp2p_key.peerid": simulated_peer_id(self._seed, name).encode(),
        }
        secrets = ["keys/libp2p_key"]
        if account is not None:
            secrets.append(f"keys/{account}")
            files[f"keys/{account}"] = self._keys[account].file
            files[f"keys/{account}.pub"] = self._keys[account].public.encode()
        command = [self._program, "daemon", *arguments]
        command += ["-log-level", "Trace", "-log-json", "-file-log-level", "Fatal"]
        command += ["-log-snark-work-gossip", "true", "-log-txn-pool-gossip", "true"]
        command += ["-generate-genesis-proof", "true", "--insecure-rest-server"]
        for port in PORTS:
            command += [f"-{port}-port", f"{{port:{port}}}"]
        command += ["-libp2p-keypair", "{file:keys/libp2p_key}", "-external-ip", f"{{host:{name}}}"]
        command += ["-bind-ip", "{bind}", "-config-file", "{file:runtime_config.json}", "-config-directory", "{state}"]
        for peer in peers:
            peer_id = simulated_peer_id(self._seed, peer)
            command += ["-peer", f"{{multiaddr:{peer}}}/tcp/{{port:{peer}.external}}/p2p/{peer_id}"]
        return NodeSpec(
            name=name,
            role=role,
            command=(*command, *self._topology.extra_arguments),
            environment=self._environment(),
            harmless=HARMLESS,
            log_format=MinaFormat.name,
            files=files,
            secrets=tuple(secrets),
            ports=PORTS,
            after=tuple(other for other in (after or self._seeds) if other != name),
            image=self._image,
        )

    def _worker(self, coordinator: SnarkCoordinator, number: int) -> NodeSpec:
        address = f"{{host:{coordinator.name}}}:{{port:{coordinator.name}.client}}"
        command = (self._program, "internal", "snark-worker", "-proof-level", self._topology.constants.proof_level)
        return NodeSpec(
            name=f"snark-worker-{number}",
            role="snark worker",
            command=(*command, "-daemon-address", address, "--shutdown-on-disconnect", "false"),
            environment=self._environment(),
            harmless=HARMLESS,
            log_format=MinaFormat.name,
            after=(coordinator.name,),
            image=self._image,
        )

    def _environment(self) -> dict[str, str]:
        return {
            "MINA_PRIVKEY_PASS": PASSWORD,
            "MINA_LIBP2P_PASS": "",
            "RAYON_NUM_THREADS": "2",
            "LUCY_SIM_SEED": self._seed,
        }
