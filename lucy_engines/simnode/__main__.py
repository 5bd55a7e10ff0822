"""`lucy-simnode`: a simulator of a Mina daemon. No cryptography; no claim about real Mina rests on it."""

import asyncio
import os
import sys
import time
from pathlib import Path

from lucy_engines.simnode.api.http_server import serve
from lucy_engines.simnode.api.operations import Api
from lucy_engines.simnode.chain import identifiers
from lucy_engines.simnode.chain.runtime_config import RuntimeConfig, RuntimeConfigError
from lucy_engines.simnode.command_line import Options, UsageError, parse
from lucy_engines.simnode.daemon import SIMULATOR, Daemon, shared_metadata
from lucy_engines.simnode.logs.flood import Flood
from lucy_engines.simnode.logs.logger import Logger, Output

HELP = """lucy-simnode: a simulator of a Mina daemon (no cryptography), for trying and testing Lucy

usage: lucy-simnode daemon -config-file FILE [mina daemon's flags] [--log-flood LINES_PER_SECOND]
       lucy-simnode libp2p generate-keypair -privkey-path FILE
       lucy-simnode accounts import ...            (accepted; there is nothing to import)
       lucy-simnode internal snark-worker ...      (idles: there is nothing to prove)
       lucy-simnode version

`lucy-simnode daemon -help` lists the daemon's flags.
"""


class StartError(Exception):
    """The daemon can't start: what was found, and what to do."""


def _public_key(path: str) -> str:
    """Read the account of a key file: its `.pub`, or a name derived from its text."""
    file = Path(path)
    beside = file.with_name(f"{file.name}.pub")
    try:
        if beside.exists():
            return beside.read_text().strip()
        return identifiers.public_key(file.read_bytes())
    except OSError as error:
        message = f"key file {path} can't be read ({error.strerror}); give -block-producer-key an existing file"
        raise StartError(message) from error


def _peer_id(keypair: str | None, port: int) -> str:
    if keypair is None:
        return identifiers.peer_id(f"{os.getpid()} {port} {time.time_ns()}".encode())
    if keypair.count(",") == 2 and not Path(keypair).exists():  # secret,public,peer id
        return keypair.rpartition(",")[2]
    beside = Path(f"{keypair}.peerid")
    if beside.exists():
        return beside.read_text().strip()
    text = Path(keypair).read_bytes() if Path(keypair).exists() else keypair.encode()
    return identifiers.peer_id(text)


async def _run(options: Options, logger: Logger) -> None:
    try:
        config = RuntimeConfig.load([Path(path) for path in options.config_files])
        options.config_directory.mkdir(parents=True, exist_ok=True)
    except RuntimeConfigError as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"-config-directory {options.config_directory}: {error.strerror}") from error
    key = _public_key(options.block_producer_key) if options.block_producer_key else None
    peer_id = _peer_id(options.libp2p_keypair, options.external_port)
    host = options.external_ip if options.external_ip != "0.0.0.0" else _own_address()  # noqa: S104
    logger.shared = shared_metadata(host, peer_id, options.external_port)
    if options.start_filtered_logs:
        logger.filter = frozenset(options.start_filtered_logs)
    daemon = Daemon(config, logger, options, key=key, peer_id=peer_id, host=host)
    api = Api(daemon, client_port=options.client_port, bind_ip=options.bind_ip)
    rest_host = options.bind_ip if options.rest_everywhere else "127.0.0.1"
    for flag, port, listen in (
        ("external-port", options.external_port, daemon.gossip.listen(options.bind_ip, options.external_port)),
        ("rest-port", options.rest_port, serve(rest_host, options.rest_port, api.answer)),
    ):
        try:
            await listen
        except OSError as error:
            message = (
                f"-{flag} {port} can't be listened on ({os.strerror(error.errno or 0)}); free it or choose another"
            )
            raise StartError(message) from error
    await daemon.run()


def _own_address() -> str:
    """The address at which other containers reach this one."""
    import socket  # only in containers

    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def _daemon(arguments: list[str]) -> int:
    options = parse(arguments)
    flood = Flood(options.flood, options.seed or "flood") if options.flood > 0 else None
    output = Output(1, flood)
    file = options.config_directory / "mina.log"
    quiet = options.file_log_level >= 8  # Fatal
    if not quiet:
        options.config_directory.mkdir(parents=True, exist_ok=True)
    logger = Logger(
        output,
        json=options.log_json,
        threshold=options.log_level,
        file=None if quiet else file,
        file_threshold=options.file_log_level,
    )
    if "MINA_TIME_OFFSET" not in os.environ:
        logger.plain("Environment variable MINA_TIME_OFFSET not found, using default of 0")
    logger.log("Info", SIMULATOR, "Simulated Mina daemon: no cryptography, no claim about real Mina")
    try:
        asyncio.run(_run(options, logger))
    except StartError as error:
        logger.log("Fatal", SIMULATOR, "Simulated daemon can't start: $error", {"error": str(error)})
        sys.stderr.write(f"lucy-simnode: {error}\n")
        return 1
    finally:
        logger.close()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        match words:
            case ["daemon", *rest]:
                return _daemon(rest)
            case ["libp2p", "generate-keypair", *rest]:
                return _generate_keypair(rest)
            case ["accounts", *_]:
                return 0
            case ["internal", "snark-worker", *_]:
                return _idle()
            case ["version"]:
                sys.stdout.write("lucy-simnode, a simulated Mina daemon\n")
                return 0
            case _:
                sys.stderr.write(HELP)
                return 0 if words in (["help"], ["-help"], ["--help"]) else 1
    except UsageError as error:
        sys.stderr.write(f"lucy-simnode: {error}\n")
        return 1


def _generate_keypair(words: list[str]) -> int:
    if len(words) != 2 or words[0].lstrip("-") != "privkey-path":
        raise UsageError("libp2p generate-keypair takes -privkey-path FILE")
    path = Path(words[1])
    path.touch(mode=0o600)
    path.write_bytes(os.urandom(32).hex().encode())
    path.with_name(f"{path.name}.peerid").write_text(identifiers.peer_id(path.read_bytes()))
    return 0


def _idle() -> int:
    import signal  # only here

    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


if __name__ == "__main__":
    sys.exit(main())
