"""Lines of JSON, as loggers write them, and today's reader of each: orjson, look-ups, a table of words, a time."""

from datetime import UTC, datetime
from typing import Any

import orjson

from benchmarks.layout import EVENT_ID, LARGE, MESSAGE, REASONED, SMALL, TITLES, Entry, Layout, Reader, Said, iso, meant
from lucy_core.records.severity import Severity


def as_json(document: dict[str, Any]) -> str:
    return orjson.dumps(document).decode()


def _with_id(entry: Entry, document: dict[str, Any]) -> str:
    return as_json({**document, "event_id": EVENT_ID} if entry.peer else document)


def _zap(entry: Entry) -> str:
    head = {"level": SMALL[entry.level], "ts": entry.at.timestamp(), "logger": "raft", "caller": "raft/raft.go:771"}
    return _with_id(entry, {**head, "msg": entry.text, **entry.more})


def _zap_by_hand() -> Reader:
    levels, loads, now = meant(SMALL), orjson.loads, datetime.fromtimestamp

    def read(line: bytes) -> Said:
        document = loads(line)
        return document["msg"], levels[document["level"]], now(document["ts"], UTC)

    return read


_PINOS = {Severity.DEBUG: 20, Severity.INFO: 30, Severity.WARN: 40, Severity.ERROR: 50}


def _pino(entry: Entry) -> str:
    millis = int(entry.at.timestamp()) * 1000 + entry.at.microsecond // 1000
    head = {"level": _PINOS[entry.level], "time": millis, "pid": 7, "hostname": "web"}
    return _with_id(entry, {**head, **entry.more, "msg": entry.text})


def _pino_by_hand() -> Reader:
    levels, loads, now = {number: level for level, number in _PINOS.items()}, orjson.loads, datetime.fromtimestamp

    def read(line: bytes) -> Said:
        document = loads(line)
        return document["msg"], levels[document["level"]], now(document["time"] / 1000, UTC)

    return read


def _ecs(entry: Entry) -> str:
    head = {"@timestamp": iso(entry.at, 3), "log.level": SMALL[entry.level], "message": entry.text}
    return _with_id(entry, {**head, "ecs.version": "1.6.0", "log.logger": "app", **entry.more})


def _ecs_by_hand() -> Reader:
    levels, loads, read_time = meant(SMALL), orjson.loads, datetime.fromisoformat

    def read(line: bytes) -> Said:
        document = loads(line)
        return document["message"], levels[document["log.level"]], read_time(document["@timestamp"])

    return read


def _tracing_json(entry: Entry) -> str:
    fields = {"message": entry.text, **entry.more}
    head = {"timestamp": iso(entry.at), "level": LARGE[entry.level]}
    return _with_id(entry, {**head, "fields": fields, "target": "app::net"})


def _tracing_json_by_hand() -> Reader:
    levels, loads, read_time = meant(LARGE), orjson.loads, datetime.fromisoformat

    def read(line: bytes) -> Said:
        document = loads(line)
        return document["fields"]["message"], levels[document["level"]], read_time(document["timestamp"])

    return read


def _envelope(entry: Entry) -> str:
    text, more = (MESSAGE, {**entry.more, "strikes": entry.strikes}) if entry.peer else (entry.text, entry.more)
    source = {"module": "Network", "location": 'File "src/network.ml", line 7, characters 2-17'}
    head = {"timestamp": iso(entry.at, between=" "), "level": TITLES[entry.level], "source": source}
    return _with_id(entry, {**head, "message": text, "metadata": {"host": "10.0.0.2", "pid": 7, **more}})


def _envelope_by_hand() -> Reader:
    levels, loads, read_time = meant(TITLES), orjson.loads, datetime.fromisoformat

    def read(line: bytes) -> Said:
        document = loads(line)
        return document["message"], levels[document["level"]], read_time(document["timestamp"])

    return read


def _cri(entry: Entry) -> str:
    return f"{iso(entry.at, zone='789Z')} stdout F {_zap(entry)}"


def _cri_by_hand() -> Reader:
    inside = _zap_by_hand()
    return lambda line: inside(line.split(b" ", 3)[3])


LAYOUTS: tuple[Layout, ...] = (
    Layout("mina", "mina", _envelope, _envelope_by_hand(), has_ids=True, fields=REASONED),
    Layout("envelope", "envelope", _envelope, _envelope_by_hand(), has_ids=True, fields=REASONED),
    Layout("json (zap)", "json", _zap, _zap_by_hand(), has_ids=True, fields=REASONED),
    Layout("json (pino)", "json", _pino, _pino_by_hand(), has_ids=True, fields=REASONED),
    Layout("json (ecs)", "json", _ecs, _ecs_by_hand(), has_ids=True, fields=REASONED),
    Layout("json (tracing)", "json", _tracing_json, _tracing_json_by_hand(), has_ids=True, fields=REASONED),
    Layout(
        "json (zap), wrapped",
        "wrapped",
        _cri,
        _cri_by_hand(),
        {"wrapper": "cri", "inner": "json"},
        has_ids=True,
        fields=REASONED,
    ),
)
