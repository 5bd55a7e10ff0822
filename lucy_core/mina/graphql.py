"""Talking to a daemon's GraphQL API: typed calls, over gql and aiohttp. The one module that imports gql.

Connection errors are retried until a deadline, since a node that was just started doesn't listen yet; an answer is
never asked for twice, for a GraphQL error says what is wrong with the question. Endpoint, operations and scalars
(numbers come as text): Mina's `graphql_requests.ml`, `graphql_lib/client.ml`.
"""

import errno
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol, TypeVar, final

import aiohttp
import anyio
import msgspec
from gql import Client, GraphQLRequest, gql
from gql.client import AsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import (
    TransportClosed,
    TransportConnectionFailed,
    TransportError,
    TransportQueryError,
    TransportServerError,
)

from lucy_core.arguments import instance_of, readable_text, seconds_of, text_of
from lucy_core.errors import NodeRefusedError, NodeUnreachableError
from lucy_core.mina.documents import DOCUMENTS
from lucy_core.mina.keys import PASSWORD
from lucy_core.network.asking import Answer
from lucy_core.network.node import Node

T = TypeVar("T")
DEADLINE = 30.0
"""Seconds until a call that can't get through is given up."""
RETRY_DELAY = 0.1
_UNAVAILABLE = (502, 503, 504)
_CODES = (
    ("insufficient", "insufficient_funds"),
    ("nonce", "invalid_nonce"),
    ("signature", "invalid_signature"),
    ("fee", "insufficient_fee"),
    ("find account", "unknown_account"),
    ("not exist", "unknown_account"),
    ("expired", "expired"),
    ("duplicate", "duplicate"),
)


class Peer(msgspec.Struct, frozen=True, rename="camel"):
    """A peer of a node."""

    peer_id: str
    """What it is known by."""
    host: str
    """Its address."""
    libp2p_port: int
    """Where it listens."""


class DaemonStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What a daemon says of itself."""

    sync_status: str
    """`SYNCED`, `BOOTSTRAP`, `CATCHUP` and so on."""
    blockchain_length: int | None
    """The height of its best tip; None before it has one."""
    highest_block_received: int = msgspec.field(name="highestBlockLengthReceived")
    """The greatest height of any block that it has received."""
    uptime_seconds: int = msgspec.field(name="uptimeSecs")
    """For how long it has run."""
    state_hash: str | None
    """Of its best tip; None before it has one."""
    commit_id: str
    """What it was built from."""
    peer_id: str | None
    """What its peers know it by; None before it is on the network."""
    peers: tuple[Peer, ...]
    """Whom it is connected to."""
    global_slot: int
    """The slot that it takes to be now."""


class ChainBlock(msgspec.Struct, frozen=True):
    """A block of a node's best chain."""

    state_hash: str
    """What the block is known by."""
    previous_state_hash: str
    """Its parent's."""
    height: int
    """The length of its chain."""
    slot_since_genesis: int
    """Its slot, counted from genesis."""
    slot: int
    """Its slot within its epoch."""
    creator: str
    """The producer's public key."""
    transactions: int
    """How many transactions it has."""


class AccountState(msgspec.Struct, frozen=True, rename="camel"):
    """An account in a node's best ledger. Amounts are nanomina."""

    public_key: str
    """Whose it is."""
    nonce: int
    """That of its next transaction in the ledger: those that wait in a pool are not counted."""
    total: int
    """All that it has."""
    liquid: int | None
    """What it may spend now; None where the node doesn't say."""
    locked: int | None
    """What its timing holds back; None where the node doesn't say."""
    delegate: str | None
    """The public key that it delegates to; None for nobody."""


class SentCommand(msgspec.Struct, frozen=True):
    """A transaction that a node took into its pool."""

    id: str
    """The whole transaction, encoded."""
    hash: str
    """What it is known by."""
    nonce: int
    """The sender's."""


def _errno(error: BaseException) -> int | None:
    """Find the system's error number in aiohttp's or gql's wrapping of it."""
    inner = getattr(error, "os_error", None) or error.__cause__ or error
    number = getattr(inner, "errno", None)
    if number is None and inner is not error and isinstance(inner, BaseException):
        return _errno(inner)
    return number


class Asking(Protocol):
    """Has the journal tell what is asked, and what comes of it: `Node.asking`."""

    def __call__(self, command: str, arguments: object = None) -> AbstractContextManager[Answer]:
        """Be around the asking; the answer is put into what this gives."""
        ...


def unheard(command: str, arguments: object = None) -> AbstractContextManager[Answer]:  # noqa: ARG001  # the contract's
    """Tell nobody: what is asked of a daemon that is no node of a run."""
    return nullcontext(Answer())


def _without_secrets(variables: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (variables or {}).items() if name != "password"}


class _Retry(Exception):  # noqa: N818  # a signal inside this module
    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@final
class MinaClient:
    """A session with one daemon. Opened by `client`; calls may run concurrently, and cancelling one leaves no trace."""

    def __init__(self, node: str, url: str, session: AsyncClientSession, deadline: float, asking: Asking) -> None:
        self.node = node
        """Whose API it is."""
        self.url = url
        """Where it is."""
        self._session = session
        self._deadline = deadline
        self._asking = asking
        self._documents: dict[str, GraphQLRequest] = {}

    async def execute(self, operation: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one of `DOCUMENTS` and return its `data`.

        Raises:
            NodeUnreachableError: no connection before the deadline.
            NodeRefusedError: the daemon answered with an error.
        """
        with self._asking(f"GraphQL {operation}", _without_secrets(variables)) as answer:
            answer.value = data = await self._execute(operation, variables)
            return data

    async def _execute(self, operation: str, variables: dict[str, Any] | None) -> dict[str, Any]:
        if operation not in self._documents:
            self._documents[operation] = gql(DOCUMENTS[operation])
        request = self._documents[operation]
        last = _Retry("timeout", "no answer")
        with anyio.move_on_after(self._deadline):
            while True:
                try:
                    return await self._once(operation, request, variables)
                except _Retry as failure:
                    last = failure
                await anyio.sleep(RETRY_DELAY)
        raise NodeUnreachableError(self.node, operation, last.code, str(last), self._deadline, self.url) from last

    async def _once(self, operation: str, request: GraphQLRequest, variables: dict[str, Any] | None) -> dict[str, Any]:
        try:
            sent = GraphQLRequest(request.document, variable_values=variables)
            data: dict[str, Any] = await self._session.execute(sent)
        except TransportQueryError as error:
            raise self._refused(operation, error) from error
        except TransportServerError as error:
            if error.code in _UNAVAILABLE:
                code = f"http_{error.code}"
                raise _Retry(code, f"HTTP {error.code}") from error
            raise NodeRefusedError(self.node, operation, f"http_{error.code}", str(error)) from error
        except (aiohttp.ClientConnectionError, TransportConnectionFailed, TransportClosed, OSError) as error:
            refused = _errno(error) == errno.ECONNREFUSED
            code = "connection_refused" if refused else "connection_failed"
            raise _Retry(code, str(error) or type(error).__name__) from error
        except TransportError as error:
            raise NodeRefusedError(self.node, operation, "protocol", str(error)) from error
        return data

    def _refused(self, operation: str, error: TransportQueryError) -> NodeRefusedError:
        first: dict[str, Any] = error.errors[0] if error.errors else {}
        text = "; ".join(str(each.get("message", each)) for each in error.errors or ()) or str(error)
        extensions = first.get("extensions") or {}
        code = extensions.get("code") or next((code for word, code in _CODES if word in text.lower()), "graphql_error")
        return NodeRefusedError(self.node, operation, str(code), text, extensions)

    def _read(self, operation: str, value: Any, kind: type[T]) -> T:  # JSON
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as error:
            raise NodeRefusedError(self.node, operation, "unexpected_answer", str(error)) from error

    async def daemon_status(self) -> DaemonStatus:
        found = (await self.execute("daemonStatus"))["daemonStatus"]
        flat = {
            "peerId": ((found["addrsAndPorts"] or {}).get("peer") or {}).get("peerId"),
            "globalSlot": found["consensusTimeNow"]["globalSlot"],
        }
        return self._read("daemonStatus", found | flat, DaemonStatus)

    async def sync_status(self) -> str:
        """Ask for `BOOTSTRAP`, `CATCHUP`, `SYNCED` and so on."""
        return self._read("syncStatus", (await self.execute("syncStatus"))["syncStatus"], str)

    async def best_chain(self, max_length: int | None = None) -> list[ChainBlock]:
        """Ask for the end of the daemon's best chain, oldest block first.

        Raises:
            NodeRefusedError: with code `no_chain` where the daemon has none yet.
        """
        found = (await self.execute("bestChain", {"maxLength": max_length}))["bestChain"]
        if not found:
            raise NodeRefusedError(self.node, "bestChain", "no_chain", "the daemon has no best chain yet")
        blocks = [
            {
                "state_hash": block["stateHash"],
                "previous_state_hash": block["protocolState"]["previousStateHash"],
                "height": block["protocolState"]["consensusState"]["blockHeight"],
                "slot_since_genesis": block["protocolState"]["consensusState"]["slotSinceGenesis"],
                "slot": block["protocolState"]["consensusState"]["slot"],
                "creator": block["creatorAccount"]["publicKey"],
                "transactions": block["commandTransactionCount"],
            }
            for block in found
        ]
        return self._read("bestChain", blocks, list[ChainBlock])

    async def account(self, public_key: str) -> AccountState | None:
        """Ask for an account; None where the ledger has none."""
        found = (await self.execute("account", {"publicKey": public_key}))["account"]
        if found is None:
            return None
        return self._read("account", found | found["balance"], AccountState)

    async def unlock_account(self, public_key: str) -> None:
        """Unlock an account whose key file the daemon has."""
        await self.execute("unlockAccount", {"password": PASSWORD, "publicKey": public_key})

    async def send_payment(
        self, *, sender: str, receiver: str, amount: int, fee: int, memo: str | None = None, nonce: int | None = None
    ) -> SentCommand:
        """Unlock the sender and send a payment; amounts are nanomina.

        Raises:
            NodeRefusedError: with a code such as `insufficient_funds` or `invalid_nonce`.
        """
        await self.unlock_account(sender)
        payment: dict[str, Any] = {"from": sender, "to": receiver, "amount": str(amount), "fee": str(fee)}
        if memo is not None:
            payment["memo"] = memo
        if nonce is not None:
            payment["nonce"] = str(nonce)
        found = await self.execute("sendPayment", {"input": payment})
        return self._read("sendPayment", found["sendPayment"]["payment"], SentCommand)

    async def send_delegation(self, *, sender: str, receiver: str, fee: int) -> SentCommand:
        """Unlock the sender and delegate its stake; the fee is nanomina."""
        await self.unlock_account(sender)
        delegation = {"from": sender, "to": receiver, "fee": str(fee)}
        found = await self.execute("sendDelegation", {"input": delegation})
        return self._read("sendDelegation", found["sendDelegation"]["delegation"], SentCommand)


@asynccontextmanager
async def client(node: Node, *, deadline: float = DEADLINE) -> AsyncIterator[MinaClient]:
    """Open a session with a node's GraphQL API. Nothing is sent until a call is made.

    Args:
        node: a node with a port `rest`.
        deadline: seconds until a call that can't get through is given up.
    """
    instance_of(Node, "a node, such as network['bp-1']")(node, "node")
    seconds_of(deadline, "deadline")
    host, port = node.address("rest")
    async with connect(node.name, f"http://{host}:{port}/graphql", deadline=deadline, asking=node.asking) as session:
        yield session


@asynccontextmanager
async def connect(
    node: str, url: str, *, deadline: float = DEADLINE, asking: Asking = unheard
) -> AsyncIterator[MinaClient]:
    """Open a session with a GraphQL API by its URL; `node` names it in errors, `asking` tells the journal."""
    text_of(node, "node")
    readable_text(url, "url")
    seconds_of(deadline, "deadline")
    transport = AIOHTTPTransport(url, timeout=None, ssl=False)
    async with Client(transport=transport, execute_timeout=None) as session:
        yield MinaClient(node, url, session, deadline, asking)
