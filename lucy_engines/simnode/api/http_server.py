"""Enough HTTP/1.1 for a GraphQL endpoint: POST with a length, keep-alive, and a page for GET."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

MAX_BODY = 16 << 20
Answer = Callable[[str, dict[str, Any] | None], Awaitable[dict[str, Any]]]


class _Question(msgspec.Struct):
    query: str
    variables: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Question).decode


async def serve(host: str, port: int, answer: Answer) -> asyncio.Server:
    """Listen and answer.

    Raises:
        OSError: the address can't be bound.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError, asyncio.LimitOverrunError, ValueError):
            while await _one(reader, writer, answer):
                pass
        writer.close()

    return await asyncio.start_server(connected, host, port)


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> bool:
    """Answer one request; return whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *fields = head.split("\r\n")
    method, _, rest = request.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields if field)}
    size = int(headers.get("content-length", "0"))
    if size > MAX_BODY:
        _respond(writer, 413, b'{"errors":[{"message":"too large"}]}', stay=False)
        return False
    body = await reader.readexactly(size)
    stay = headers.get("connection", "").lower() != "close"
    if method == "GET":
        _respond(writer, 200, b"a simulated Mina node; POST GraphQL to /graphql\n", stay=stay, kind="text/plain")
    elif method != "POST" or path != "/graphql":
        _respond(writer, 404, b'{"errors":[{"message":"POST to /graphql"}]}', stay=stay)
    else:
        try:
            question = _decode(body)
        except ValueError as error:
            text = msgspec.json.encode({"errors": [{"message": f"not a GraphQL request: {error}"}]})
            _respond(writer, 400, text, stay=stay)
        else:
            reply = await answer(question.query, question.variables)
            _respond(
                writer,
                200 if reply.get("data") is not None or "errors" in reply else 500,
                msgspec.json.encode(reply),
                stay=stay,
            )
    await writer.drain()
    return stay


_WORDS = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Payload Too Large", 500: "Internal Server Error"}


def _respond(
    writer: asyncio.StreamWriter, code: int, body: bytes, *, stay: bool, kind: str = "application/json"
) -> None:
    connection = "keep-alive" if stay else "close"
    head = (
        f"HTTP/1.1 {code} {_WORDS[code]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {connection}\r\n\r\n"
    )
    writer.write(head.encode() + body)
