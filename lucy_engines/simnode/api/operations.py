"""Answers to GraphQL operations, out of a daemon's state.

graphql-core is imported at the first question: 100 ms that a starting network doesn't pay four times at once.
"""

import asyncio
from typing import Any, final

from lucy_engines.simnode.api.schema import SDL
from lucy_engines.simnode.chain.blocks import Block
from lucy_engines.simnode.chain.ledger import UINT32_MAX, Command
from lucy_engines.simnode.chain.runtime_config import nanomina
from lucy_engines.simnode.daemon import Daemon

_REASONS = {
    "Fee_payer_account_not_found": "Couldn't find account of the fee payer in the ledger",
    "Invalid_nonce": "Invalid_nonce: the nonce is either different from inferred nonce or was used",
    "Insufficient_funds": "Insufficient_funds: the balance does not cover amount and fee",
    "Insufficient_replace_fee": "Insufficient_replace_fee: a command with this nonce pays as much",
    "Duplicate": "Duplicate: this command is in the pool already",
    "Expired": "Expired: the command is valid no more",
    "Overloaded": "Overloaded: the pool is full",
}


class ApiError(Exception):
    """What a user did wrong; becomes a GraphQL error, with the reason's name as its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.extensions = {"code": code.lower()}


def command_view(command: Command, failures: tuple[str, ...] = ()) -> dict[str, Any]:
    """Show a command."""
    return {
        "id": f"simulated-{command.hash}",
        "hash": command.hash,
        "kind": command.kind,
        "nonce": command.nonce,
        "amount": str(command.amount),
        "fee": str(command.fee),
        "memo": command.memo,
        "from": command.sender,
        "to": command.receiver,
        "failureReason": failures[0] if failures else None,
    }


@final
class Api:
    """The root of all operations: a method for each field, as graphql-core's default resolver calls them."""

    def __init__(self, daemon: Daemon, *, client_port: int, bind_ip: str) -> None:
        self._daemon = daemon
        self._client_port = client_port
        self._bind_ip = bind_ip
        self._schema: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, query: str, variables: dict[str, Any] | None) -> dict[str, Any]:
        import graphql  # see the module's docstring

        if self._schema is None:
            self._schema = graphql.build_schema(SDL)
        result = await graphql.graphql(self._schema, query, root_value=self, variable_values=variables)
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [error.formatted for error in result.errors]
        return body

    # Queries

    def syncStatus(self, _info: Any) -> str:  # noqa: N802  # GraphQL's spelling
        return self._daemon.status

    def networkID(self, _info: Any) -> str:  # noqa: N802
        return f"mina:{self._daemon.config.network_id}"

    def version(self, _info: Any) -> str:
        return "simulated"

    def daemonStatus(self, _info: Any) -> dict[str, Any]:  # noqa: N802
        daemon = self._daemon
        tip = daemon.frontier.tip
        slot = max(0, daemon.slot())
        per_epoch = daemon.config.slots_per_epoch
        peers = [
            {"peerId": peer.peer_id, "host": peer.hello.host, "libp2pPort": peer.hello.port}
            for peer in daemon.gossip.peers
        ]
        return {
            "syncStatus": daemon.status,
            "blockchainLength": tip.height if daemon.initialized else None,
            "highestBlockLengthReceived": max(tip.height, daemon.highest_received),
            "uptimeSecs": int(daemon.now() - daemon.started),
            "stateHash": tip.state_hash if daemon.initialized else None,
            "commitId": "simulated",
            "chainId": daemon.config.chain_id,
            "confDir": "",
            "peers": peers,
            "addrsAndPorts": {
                "externalIp": daemon.host,
                "bindIp": self._bind_ip,
                "clientPort": self._client_port,
                "libp2pPort": daemon.port,
                "peer": {"peerId": daemon.peer_id, "host": daemon.host, "libp2pPort": daemon.port},
            },
            "consensusTimeNow": {"epoch": slot // per_epoch, "slot": slot % per_epoch, "globalSlot": slot},
            "metrics": {
                "blockProductionDelay": [],
                "transactionPoolDiffReceived": daemon.metrics["received"],
                "transactionPoolDiffBroadcasted": daemon.metrics["broadcast"],
                "transactionsAddedToPool": daemon.metrics["added"],
                "transactionPoolSize": len(daemon.mempool),
            },
        }

    def bestChain(self, _info: Any, maxLength: int | None = None) -> list[dict[str, Any]] | None:  # noqa: N802, N803
        if not self._daemon.initialized:
            return None
        chain = self._daemon.frontier.best_chain()
        return [self._block(block) for block in (chain if maxLength is None else chain[-maxLength:])]

    def _block(self, block: Block) -> dict[str, Any]:
        per_epoch = self._daemon.config.slots_per_epoch
        return {
            "stateHash": block.state_hash,
            "commandTransactionCount": len(block.commands),
            "creator": block.creator,
            "creatorAccount": self._account(block.creator) or {"publicKey": block.creator},
            "protocolState": {
                "previousStateHash": block.previous,
                "consensusState": {
                    "blockHeight": str(block.height),
                    "slotSinceGenesis": str(block.slot_since_genesis),
                    "slot": str(block.slot % per_epoch),
                    "epoch": str(block.epoch),
                },
            },
            "transactions": {
                "coinbase": str(block.coinbase),
                "userCommands": [command_view(each.command, each.failures) for each in block.commands],
            },
            "snarkJobs": [],
        }

    def account(self, _info: Any, publicKey: str, token: str | None = None) -> dict[str, Any] | None:  # noqa: ARG002, N803
        return self._account(publicKey)

    def _account(self, key: str) -> dict[str, Any] | None:
        daemon = self._daemon
        account = daemon.ledger().get(key)
        if account is None:
            return None
        liquid = account.liquid_at(max(0, daemon.slot()))
        timing = account.timing
        return {
            "publicKey": key,
            "token": "1",
            "nonce": str(account.nonce),
            "inferredNonce": str(daemon.mempool.next_nonce(daemon.ledger(), key)),
            "balance": {"total": str(account.balance), "liquid": str(liquid), "locked": str(account.balance - liquid)},
            "delegate": account.delegate,
            "timing": {
                "initialMinimumBalance": str(timing.initial_minimum) if timing else None,
                "cliffTime": timing.cliff_slot if timing else None,
                "cliffAmount": str(timing.cliff_amount) if timing else None,
                "vestingPeriod": timing.vesting_period if timing else None,
                "vestingIncrement": str(timing.vesting_increment) if timing else None,
            },
        }

    def pooledUserCommands(self, _info: Any, publicKey: str | None = None) -> list[dict[str, Any]]:  # noqa: N802, N803
        return [
            command_view(command)
            for command in self._daemon.mempool.commands()
            if publicKey is None or command.sender == publicKey
        ]

    def getFilteredLogEntries(self, _info: Any, offset: int) -> dict[str, Any]:  # noqa: N802
        logger = self._daemon.logger
        return {"logMessages": logger.kept[offset:], "isCapturing": logger.filter is not None}

    # Mutations

    def unlockAccount(self, _info: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002, N802
        account = self._account(input["publicKey"])
        if account is None:
            raise ApiError("unknown_account", f"Couldn't find account {input['publicKey']} in the ledger")
        return {"account": account}

    def sendPayment(self, _info: Any, input: dict[str, Any], signature: Any = None) -> dict[str, Any]:  # noqa: A002, ARG002, N802
        return {"payment": self._send("PAYMENT", input, int(input["amount"]))}

    def sendDelegation(self, _info: Any, input: dict[str, Any], signature: Any = None) -> dict[str, Any]:  # noqa: A002, ARG002, N802
        return {"delegation": self._send("STAKE_DELEGATION", input, 0)}

    def _send(self, kind: Any, wanted: dict[str, Any], amount: int) -> dict[str, Any]:
        daemon = self._daemon
        nonce = wanted.get("nonce")
        sender = wanted["from"]
        valid_until = wanted.get("validUntil")
        command = Command(
            kind=kind,
            sender=sender,
            receiver=wanted["to"],
            fee=int(wanted["fee"]),
            nonce=int(nonce) if nonce is not None else daemon.mempool.next_nonce(daemon.ledger(), sender),
            amount=amount,
            memo=wanted.get("memo") or "",
            valid_until=int(valid_until) if valid_until is not None else UINT32_MAX,
        )
        reason = daemon.submit(command)
        if reason is not None:
            raise ApiError(reason, _REASONS.get(reason, reason))
        return command_view(command)

    def sendTestPayments(  # noqa: N802
        self,
        _info: Any,
        senders: list[str],
        receiver: str,
        amount: Any,
        fee: Any,
        repeat_count: Any,
        repeat_delay_ms: Any,
    ) -> int:
        keys = [self._daemon.config.secrets.get(secret, secret) for secret in senders]

        async def pay() -> None:
            for _ in range(int(repeat_count)):
                for key in keys:
                    wanted = {"from": key, "to": receiver, "fee": fee}
                    try:
                        self._send("PAYMENT", wanted, int(amount))
                    except ApiError as error:
                        self._daemon.note("Warn", "Test payment refused: $reason", {"reason": str(error)})
                await asyncio.sleep(int(repeat_delay_ms) / 1000)

        task = asyncio.get_running_loop().create_task(pay())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return 0

    def setSnarkWorker(self, _info: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002, N802
        last, self._daemon.snark_worker = self._daemon.snark_worker, input.get("publicKey")
        return {"lastSnarkWorker": last}

    def setSnarkWorkFee(self, _info: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002, N802
        last, self._daemon.work_fee = self._daemon.work_fee, str(int(input["fee"]) / 1_000_000_000)
        return {"lastFee": str(nanomina(last))}

    def startFilteredLog(self, _info: Any, filter: list[str]) -> bool:  # noqa: A002, N802
        logger = self._daemon.logger
        if logger.filter is not None:
            return False
        logger.filter = frozenset(filter)
        return True
