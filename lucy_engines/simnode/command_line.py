"""The daemon's command line: what Lucy, and people, give `mina daemon`. Every flag with one dash or two."""

import argparse
import os
from pathlib import Path
from typing import NoReturn

import msgspec

from lucy_engines.simnode.logs.logger import level_number


class UsageError(ValueError):
    """The command line makes no sense."""


class Options(msgspec.Struct, kw_only=True):
    """A daemon's options, checked."""

    seed_node: bool
    block_producer_key: str | None
    snark_coordinator: str | None
    snark_worker_fee: str
    log_json: bool
    log_level: int
    file_log_level: int
    client_port: int
    rest_port: int
    external_port: int
    external_ip: str
    bind_ip: str
    rest_everywhere: bool
    config_files: list[str]
    config_directory: Path
    peers: list[tuple[str, int]]
    libp2p_keypair: str | None
    start_filtered_logs: list[str]
    flood: float
    seed: str | None
    clock_offset: float


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lucy-simnode daemon", allow_abbrev=False, add_help=True, description=__doc__)

    def flag(name: str, **options: object) -> None:
        parser.add_argument(f"-{name}", f"--{name}", **options)  # type: ignore[arg-type]

    flag("seed", action="store_true", dest="seed_node", help="be a seed node: start without peers")
    flag("block-producer-key", help="key file; its .pub beside it names the account")
    flag("run-snark-coordinator", dest="snark_coordinator", help="public key of the coordinator")
    flag("snark-worker-fee", default="0.025")
    flag("work-selection", default="seq")
    flag("log-json", action="store_true")
    flag("log-level", default="Info")
    flag("file-log-level", default="Trace")
    flag("client-port", type=int, default=8301)
    flag("rest-port", type=int, default=3085)
    flag("external-port", type=int, default=8302)
    flag("metrics-port", type=int, default=0)
    flag("external-ip", default="127.0.0.1")
    flag("bind-ip", default=None)
    flag("insecure-rest-server", action="store_true")
    flag("config-file", action="append", default=[], dest="config_files")
    flag("config-directory", default=str(Path.home() / ".mina-config"))
    flag("peer", action="append", default=[], dest="peers")
    flag("peer-list-file")
    flag("libp2p-keypair")
    flag("discovery-keypair")
    flag("start-filtered-logs", action="append", default=[])
    for ignored in (
        "log-snark-work-gossip",
        "log-txn-pool-gossip",
        "generate-genesis-proof",
        "enable-flooding",
        "enable-peer-exchange",
        "archive-address",
        "log-precomputed-blocks",
        "proof-level",
        "libp2p-metrics-port",
        "precomputed-blocks-file",
    ):
        flag(ignored, help=argparse.SUPPRESS)
    flag("log-flood", type=float, default=0.0, dest="flood", metavar="LINES_PER_SECOND", help="log this much noise")
    flag("simulation-seed", dest="seed", help="decides who wins which slot; also LUCY_SIM_SEED")
    flag("clock-offset", type=float, metavar="SECONDS", help="also MINA_TIME_OFFSET")
    return parser


def parse(arguments: list[str]) -> Options:
    """Read the words after `daemon`.

    Raises:
        UsageError: saying which word, and what is expected.
    """
    found = _parser().parse_args(arguments)
    peers = list(found.peers)
    if found.peer_list_file:
        try:
            peers += [line for line in Path(found.peer_list_file).read_text().split() if line]
        except OSError as error:
            raise UsageError(f"-peer-list-file {found.peer_list_file}: {error.strerror}") from error
    for name in ("client_port", "rest_port", "external_port", "metrics_port"):
        if not 0 <= getattr(found, name) <= 65535:
            raise UsageError(f"-{name.replace('_', '-')} {getattr(found, name)} is no port; ports are 1 to 65535")
    if not found.config_files:
        raise UsageError("-config-file is missing: a simulated node needs the network's runtime configuration")
    try:
        levels = level_number(found.log_level), level_number(found.file_log_level)
    except ValueError as error:
        raise UsageError(str(error)) from error
    everywhere = found.external_ip == "0.0.0.0"  # noqa: S104  # what containers are given
    bind_ip = found.bind_ip or ("0.0.0.0" if everywhere else "127.0.0.1")  # noqa: S104
    offset = found.clock_offset
    worked_out = {
        "log_level": levels[0],
        "file_log_level": levels[1],
        "bind_ip": bind_ip,
        "rest_everywhere": found.insecure_rest_server and bind_ip == "0.0.0.0",  # noqa: S104
        "config_directory": Path(found.config_directory),
        "peers": [parse_multiaddress(peer) for peer in peers],
        "libp2p_keypair": found.libp2p_keypair or found.discovery_keypair,
        "seed": found.seed or os.environ.get("LUCY_SIM_SEED"),
        "clock_offset": float(os.environ.get("MINA_TIME_OFFSET", "0")) if offset is None else offset,
    }
    return msgspec.convert(vars(found) | worked_out, Options)


def parse_multiaddress(text: str) -> tuple[str, int]:
    """Read `/ip4/A/tcp/P/p2p/ID` or `/dns4/NAME/tcp/P/p2p/ID`.

    Raises:
        UsageError: it is neither.
    """
    match text.split("/"):
        case ["", "ip4" | "dns4" | "dns", host, "tcp", port, *_] if port.isdigit():
            return host, int(port)
        case _:
            raise UsageError(f"-peer {text!r} is no address; write /ip4/ADDRESS/tcp/PORT/p2p/ID")
