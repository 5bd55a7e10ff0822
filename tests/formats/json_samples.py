"""Lines of JSON as each logger writes them, after their own documents: at least three of each."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sample import Sample, at

from lucy_core.records.severity import Severity

S = Severity


def _sample(
    kind: str,
    line: str,
    text: str,
    severity: Severity = S.UNSPECIFIED,
    word: str = "",
    time: datetime | None = None,
    fields: Mapping[str, Any] | None = None,
    **more: Any,
) -> Sample:
    name = f"json ({kind})" if kind else "json"
    return Sample("json", name, line.encode(), text, severity, word, time, fields or {}, **more)


TEN = at(2026, 12, 1, 10)
MILLIS = at(2026, 12, 1, 10, micros=123000)
MICROS = at(2026, 12, 1, 10, micros=123456)

ZAP = (
    _sample(
        "zap",
        '{"level":"info","ts":1796119200.123456,"logger":"raft","caller":"raft/raft.go:771",'
        '"msg":"became leader at term 2","member":"8e9e05","term":2}',
        "became leader at term 2",
        S.INFO,
        "info",
        MICROS,
        {"member": "8e9e05", "term": 2},
        extra={"logger": "raft", "caller": "raft/raft.go:771"},
    ),
    _sample(
        "zap",
        '{"level":"warn","ts":"2026-12-01T11:00:00.123456+0100","caller":"etcdserver/util.go:123",'
        '"msg":"apply request took too long","took":"120.5ms"}',
        "apply request took too long",
        S.WARN,
        "warn",
        MICROS,
        {"took": "120.5ms"},
    ),
    _sample(
        "zap",
        '{"level":"dpanic","ts":1796119200,"msg":"unreachable","error":"EOF","stacktrace":"main.main\\n\\tmain.go:3"}',
        "unreachable",
        S.ERROR2,
        "dpanic",
        TEN,
        {"error": "EOF"},
        extra={"stacktrace": "main.main\n\tmain.go:3"},
    ),
    _sample(
        "zap",
        '{"L":"INFO","T":"2026-12-01T10:00:00.123Z","N":"sync","C":"sync/client.go:42","M":"signalled entry","seq":3}',
        "signalled entry",
        S.INFO,
        "INFO",
        MILLIS,
        {"seq": 3},
        extra={"N": "sync", "C": "sync/client.go:42"},
    ),
    _sample(
        "zap",
        '{"L":"ERROR","T":"2026-12-01T11:00:00.123+0100","N":"0.hare","M":"failed to validate message","layer_id":7}',
        "failed to validate message",
        S.ERROR,
        "ERROR",
        MILLIS,
        {"layer_id": 7},
    ),
    _sample("zap", '{"L":"PANIC","M":"no genesis","S":"main.go:1"}', "no genesis", S.ERROR3, "PANIC"),
)

ZEROLOG = (
    _sample(
        "zerolog",
        '{"level":"info","time":1796119200,"message":"Finalizing commit","height":12}',
        "Finalizing commit",
        S.INFO,
        "info",
        TEN,
        {"height": 12},
    ),
    _sample(
        "zerolog",
        '{"level":"error","module":"p2p","error":"dial timeout","time":"2026-12-01T10:00:00Z","caller":"p2p.go:9",'
        '"message":"peer lost"}',
        "peer lost",
        S.ERROR,
        "error",
        TEN,
        {"module": "p2p", "error": "dial timeout"},
        extra={"caller": "p2p.go:9"},
    ),
    _sample("zerolog", '{"level":"panic","time":1796119200123,"message":"boom"}', "boom", S.FATAL2, "panic", MILLIS),
)

LOGRUS = (
    _sample(
        "logrus",
        '{"animal":"walrus","level":"info","msg":"A walrus appears","number":1,"time":"2026-12-01T10:00:00Z"}',
        "A walrus appears",
        S.INFO,
        "info",
        TEN,
        {"animal": "walrus", "number": 1},
    ),
    _sample(
        "logrus",
        '{"error":"EOF","file":"/src/main.go:12","func":"main.run","level":"warning","msg":"short read",'
        '"time":"2026-12-01T11:00:00+01:00"}',
        "short read",
        S.WARN,
        "warning",
        TEN,
        {"error": "EOF"},
        extra={"file": "/src/main.go:12", "func": "main.run"},
    ),
    _sample(
        "logrus",
        '{"level":"trace","msg":"","time":"2026-12-01T10:00:00Z"}',
        "",
        S.TRACE,
        "trace",
        TEN,
    ),
    _sample("logrus", '{"level":"panic","msg":"p","time":"2026-12-01T10:00:00Z"}', "p", S.FATAL2, "panic", TEN),
)

SLOG = (
    _sample(
        "slog",
        '{"time":"2026-12-01T10:00:00.123456789Z","level":"INFO","msg":"request done","status":200}',
        "request done",
        S.INFO,
        "INFO",
        MICROS,
        {"status": 200},
    ),
    _sample(
        "slog",
        '{"time":"2026-12-01T11:00:00.123+01:00","level":"WARN+2","source":{"function":"main.main","file":"m.go",'
        '"line":3},"msg":"slow","group":{"a":1}}',
        "slow",
        S.WARN3,
        "WARN+2",
        MILLIS,
        {"group": {"a": 1}},
        extra={"source": {"function": "main.main", "file": "m.go", "line": 3}},
    ),
    _sample(
        "slog",
        '{"time":"2026-12-01T10:00:00Z","level":"DEBUG-4","msg":"tick"}',
        "tick",
        S.TRACE,
        "DEBUG-4",
        TEN,
    ),
)

PINO = (
    _sample(
        "pino",
        '{"level":30,"time":1796119200123,"pid":42,"hostname":"api-1","msg":"hello world"}',
        "hello world",
        S.INFO,
        "30",
        MILLIS,
        extra={"pid": 42, "hostname": "api-1"},
    ),
    _sample(
        "pino",
        '{"level":50,"time":1796119200123,"pid":42,"hostname":"api-1","err":{"type":"Error","message":"boom"},"msg":"boom"}',
        "boom",
        S.ERROR,
        "50",
        MILLIS,
        {"err": {"type": "Error", "message": "boom"}},
    ),
    _sample(
        "pino",
        '{"level":35,"time":1796119200123,"pid":42,"hostname":"api-1","req":{"id":7}}',
        "",
        S.INFO,
        "35",
        MILLIS,
        {"req": {"id": 7}},
    ),
    _sample("pino", '{"level":60,"time":1796119200123,"msg":"bye"}', "bye", S.FATAL, "60", MILLIS),
)

BUNYAN = (
    _sample(
        "bunyan",
        '{"name":"myapp","hostname":"h","pid":34572,"level":30,"msg":"hi","time":"2026-12-01T10:00:00.123Z","v":0}',
        "hi",
        S.INFO,
        "30",
        MILLIS,
        extra={"name": "myapp", "hostname": "h", "pid": 34572, "v": 0},
    ),
    _sample(
        "bunyan",
        '{"name":"myapp","hostname":"h","pid":1,"level":40,"lang":"fr","msg":"salut","time":"2026-12-01T10:00:00Z","v":0}',
        "salut",
        S.WARN,
        "40",
        TEN,
        {"lang": "fr"},
    ),
    _sample(
        "bunyan",
        '{"name":"myapp","hostname":"h","pid":1,"component":"db","level":10,"msg":"q","time":"2026-12-01T10:00:00Z",'
        '"src":{"file":"a.js","line":20},"v":0}',
        "q",
        S.TRACE,
        "10",
        TEN,
        {"component": "db"},
    ),
)

WINSTON = (
    _sample(
        "winston",
        '{"level":"info","message":"Hello again","service":"user","timestamp":"2026-12-01T10:00:00.123Z"}',
        "Hello again",
        S.INFO,
        "info",
        MILLIS,
        {"service": "user"},
    ),
    _sample(
        "winston",
        '{"label":"api","level":"http","message":"GET /","timestamp":"2026-12-01 10:00:00"}',
        "GET /",
        S.DEBUG3,
        "http",
        TEN,
        extra={"label": "api"},
    ),
    _sample(
        "winston",
        '{"level":"silly","message":"x","stack":"Error: x\\n    at a.js:1","timestamp":"2026-12-01T10:00:00Z"}',
        "x",
        S.TRACE,
        "silly",
        TEN,
        {"stack": "Error: x\n    at a.js:1"},
    ),
    _sample(
        "",
        '{"level":"error","message":"no transports","service":"user"}',
        "no transports",
        S.ERROR,
        "error",
        fields={"service": "user"},
    ),
)

STRUCTLOG = (
    _sample(
        "structlog",
        '{"peer":"a7","event":"peer banned","level":"warning","timestamp":"2026-12-01T10:00:00.123456Z"}',
        "peer banned",
        S.WARN,
        "warning",
        MICROS,
        {"peer": "a7"},
    ),
    _sample(
        "structlog",
        '{"event":"started","logger":"app.main","log_level":"info","timestamp":1796119200.123456}',
        "started",
        S.INFO,
        "info",
        MICROS,
        extra={"logger": "app.main"},
    ),
    _sample(
        "structlog",
        '{"user":5,"event":"failed","exception":"Traceback (most recent call last):\\nValueError","level":"critical"}',
        "failed",
        S.FATAL,
        "critical",
        fields={"user": 5, "exception": "Traceback (most recent call last):\nValueError"},
    ),
    _sample(
        "structlog",
        '{"peer":"a7","event":"peer banned","level":"error","ts":"2026-12-01T10:00:00.123456Z"}',
        "peer banned",
        S.ERROR,
        "error",
        MICROS,
        {"peer": "a7"},
    ),
)

PYTHON = (
    _sample(
        "python",
        '{"asctime":"2026-12-01 10:00:00,123","levelname":"INFO","name":"app.db","message":"connected","pool":4}',
        "connected",
        S.INFO,
        "INFO",
        MILLIS,
        {"pool": 4},
        extra={"name": "app.db"},
    ),
    _sample(
        "python",
        '{"message":"failed","levelname":"ERROR","lineno":12,"exc_info":"Traceback","taskName":null}',
        "failed",
        S.ERROR,
        "ERROR",
        fields={"exc_info": "Traceback"},
        extra={"lineno": 12, "taskName": None},
    ),
    _sample(
        "python",
        '{"timestamp":"2026-12-01T10:00:00.123456+00:00","levelname":"CRITICAL","message":"down"}',
        "down",
        S.FATAL,
        "CRITICAL",
        MICROS,
    ),
)

ECS = (
    _sample(
        "ecs",
        '{"@timestamp":"2026-12-01T10:00:00.123Z","log.level":"info","message":"hello","ecs.version":"1.6.0",'
        '"http.request.method":"get"}',
        "hello",
        S.INFO,
        "info",
        MILLIS,
        {"http.request.method": "get"},
        extra={"ecs.version": "1.6.0"},
    ),
    _sample(
        "ecs",
        '{"@timestamp":"2026-12-01T10:00:00Z","ecs":{"version":"8.11"},"log":{"level":"error","logger":"a.B"},'
        '"message":"boom","error":{"message":"x"}}',
        "boom",
        S.ERROR,
        "error",
        TEN,
        {"error": {"message": "x"}},
        extra={"ecs": {"version": "8.11"}, "log": {"level": "error", "logger": "a.B"}},
    ),
    _sample(
        "ecs",
        '{"@timestamp":"2026-12-01T10:00:00.123Z","log.level":"WARN ","message":"slow","process.thread.name":"main",'
        '"log.logger":"org.A","labels":{"a":"b"}}',
        "slow",
        S.WARN,
        "WARN ",
        MILLIS,
        {"labels": {"a": "b"}},
        extra={"process.thread.name": "main", "log.logger": "org.A"},
    ),
)

GCP = (
    _sample(
        "gcp",
        '{"severity":"ERROR","message":"boom","time":"2026-12-01T10:00:00.123456789Z","httpRequest":{"status":500}}',
        "boom",
        S.ERROR,
        "ERROR",
        MICROS,
        {"httpRequest": {"status": 500}},
    ),
    _sample(
        "gcp",
        '{"severity":"NOTICE","message":"up","timestamp":{"seconds":1796119200,"nanos":123456789},'
        '"logging.googleapis.com/trace":"projects/p/traces/1"}',
        "up",
        S.INFO2,
        "NOTICE",
        MICROS,
        extra={"logging.googleapis.com/trace": "projects/p/traces/1"},
    ),
    _sample(
        "gcp",
        '{"insertId":"1a","jsonPayload":{"message":"paid","amount":3},"logName":"projects/p/logs/l",'
        '"severity":"CRITICAL","timestamp":"2026-12-01T10:00:00.123456Z"}',
        "paid",
        S.FATAL,
        "CRITICAL",
        MICROS,
        {"amount": 3},
        extra={"insertId": "1a", "logName": "projects/p/logs/l"},
    ),
    _sample(
        "gcp",
        '{"insertId":"1b","textPayload":"started","severity":"DEFAULT","timestamp":"2026-12-01T10:00:00Z"}',
        "started",
        S.UNSPECIFIED,
        "DEFAULT",
        TEN,
        extra={"insertId": "1b"},
    ),
    _sample(
        "gcp",
        '{"severity":"INFO","message":"split","timestampSeconds":1796119200,"timestampNanos":123456000}',
        "split",
        S.INFO,
        "INFO",
        MICROS,
    ),
)

JOURNALD = (
    _sample(
        "journald",
        '{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1796119200123456","PRIORITY":"6","_PID":"1","_HOSTNAME":"h",'
        '"SYSLOG_IDENTIFIER":"systemd","MESSAGE":"Started Session 1.","UNIT":"session-1.scope",'
        '"MESSAGE_ID":"39f53479d3a045ac8e11786248231fbf"}',
        "Started Session 1.",
        S.INFO,
        "6",
        MICROS,
        {"UNIT": "session-1.scope"},
        id="39f53479d3a045ac8e11786248231fbf",
    ),
    _sample(
        "journald",
        '{"__REALTIME_TIMESTAMP":"1796119200123456","PRIORITY":"3","MESSAGE":[27,91,51,49,109,98,97,100]}',
        "bad",
        S.ERROR,
        "3",
        MICROS,
    ),
    _sample(
        "journald",
        '{"__REALTIME_TIMESTAMP":"1796119209999999","_SOURCE_REALTIME_TIMESTAMP":"1796119200123456","MESSAGE":null,'
        '"_TRANSPORT":"stdout"}',
        "",
        time=MICROS,
        extra={"__REALTIME_TIMESTAMP": "1796119209999999", "_TRANSPORT": "stdout"},
    ),
)

TRACING = (
    _sample(
        "tracing",
        '{"timestamp":"2026-12-01T10:00:00.123456Z","level":"INFO","fields":{"message":"became leader","term":2},'
        '"target":"raft","span":{"name":"tick"},"spans":[{"name":"tick"}]}',
        "became leader",
        S.INFO,
        "INFO",
        MICROS,
        {"term": 2},
        extra={"target": "raft", "span": {"name": "tick"}, "spans": [{"name": "tick"}]},
    ),
    _sample(
        "tracing",
        '{"timestamp":"2026-12-01T10:00:00Z","level":"TRACE","fields":{"peer":"a7"},"target":"net"}',
        "",
        S.TRACE,
        "TRACE",
        TEN,
        {"peer": "a7"},
    ),
    _sample(
        "tracing",
        '{"timestamp":"2026-12-01T10:00:00Z","level":"ERROR","message":"flat","code":7,"target":"net"}',
        "flat",
        S.ERROR,
        "ERROR",
        TEN,
        {"code": 7},
        extra={"target": "net"},
    ),
)

RUST_SLOG = (
    _sample(
        "slog-rs",
        '{"msg":"listening","level":"INFO","ts":"2026-12-01T10:00:00.123456Z","port":80}',
        "listening",
        S.INFO,
        "INFO",
        MICROS,
        {"port": 80},
    ),
    _sample(
        "slog-rs",
        '{"msg":"lost","level":"ERRO","ts":"2026-12-01T11:00:00.123+01:00","module":"net"}',
        "lost",
        S.ERROR,
        "ERRO",
        MILLIS,
        extra={"module": "net"},
    ),
    _sample(
        "slog-rs",
        '{"msg":"poll","level":"DEBG","ts":"2026-12-01T10:00:00Z","n":[1]}',
        "poll",
        S.DEBUG,
        "DEBG",
        TEN,
        {"n": [1]},
    ),
)

LOG4J = (
    _sample(
        "log4j",
        '{"timeMillis":1796119200123,"thread":"main","level":"DEBUG","loggerName":"org.App","message":"ready",'
        '"endOfBatch":false,"contextMap":{"user":"u1"},"threadId":1}',
        "ready",
        S.DEBUG,
        "DEBUG",
        MILLIS,
        {"user": "u1"},
        extra={"thread": "main", "loggerName": "org.App", "endOfBatch": False, "threadId": 1},
    ),
    _sample(
        "log4j",
        '{"instant":{"epochSecond":1796119200,"nanoOfSecond":123456000},"thread":"main","level":"FATAL",'
        '"loggerName":"org.App","message":"dying","thrown":{"name":"java.io.IOException"}}',
        "dying",
        S.FATAL,
        "FATAL",
        MICROS,
        {"thrown": {"name": "java.io.IOException"}},
    ),
    _sample(
        "log4j",
        '{"timeMillis":1796119200123,"level":"AUDIT","loggerName":"org.App","message":"custom"}',
        "custom",
        S.UNSPECIFIED,
        "AUDIT",
        MILLIS,
    ),
)

ENVELOPE = (
    _sample(
        "envelope",
        '{"timestamp":"2026-12-01 10:00:00.123456Z","level":"Info","source":{"module":"m"},"message":"peer $p banned",'
        '"metadata":{"p":"a7"},"event_id":"e1"}',
        "peer $p banned",
        S.INFO,
        "Info",
        MICROS,
        {"p": "a7"},
        id="e1",
        extra={"source": {"module": "m"}, "event_id": "e1"},
        auto=False,
    ),
    _sample(
        "envelope",
        '{"message":"n","level":30,"timestamp":1796119200,"metadata":{"n":1}}',
        "n",
        S.INFO,
        "30",
        TEN,
        {"n": 1},
    ),
    _sample("envelope", '{"message":"only","event_id":"e2"}', "only", id="e2", auto=False),
)

OTHERS = (
    _sample(
        "hclog",
        '{"@level":"info","@message":"agent started","@module":"a","@timestamp":"2026-12-01T10:00:00.123456Z","p":1}',
        "agent started",
        S.INFO,
        "info",
        MICROS,
        {"p": 1},
        extra={"@module": "a"},
    ),
    _sample(
        "gelf",
        '{"version":"1.1","host":"h","short_message":"short","timestamp":1796119200.123,"level":3,"_user":"u"}',
        "short",
        S.ERROR,
        "3",
        MILLIS,
        {"_user": "u"},
        extra={"version": "1.1", "host": "h"},
    ),
    _sample(
        "logstash",
        '{"@timestamp":"2026-12-01T10:00:00.123Z","@version":"1","message":"m","logger_name":"a.B","thread_name":"main",'
        '"level":"WARN","level_value":30000,"user":"u"}',
        "m",
        S.WARN,
        "WARN",
        MILLIS,
        {"user": "u"},
    ),
    _sample(
        "mongodb",
        '{"t":{"$date":"2026-12-01T10:00:00.123+00:00"},"s":"W","c":"NETWORK","id":22943,"ctx":"listener",'
        '"msg":"Connection accepted","attr":{"remote":"127.0.0.1"}}',
        "Connection accepted",
        S.WARN,
        "W",
        MILLIS,
        {"remote": "127.0.0.1"},
        id="22943",
        extra={"c": "NETWORK", "ctx": "listener", "id": 22943},
    ),
    _sample(
        "monolog",
        '{"message":"paid","context":{"order":5},"level":200,"level_name":"INFO","channel":"shop",'
        '"datetime":"2026-12-01T10:00:00.123456+00:00","extra":[]}',
        "paid",
        S.INFO,
        "INFO",
        MICROS,
        {"order": 5},
    ),
    _sample(
        "",
        '{"t":"2026-12-01T10:00:00.123456Z","lvl":"eror","msg":"bad block","number":9}',
        "bad block",
        S.ERROR,
        "eror",
        MICROS,
        {"number": 9},
    ),
    _sample("", '{"msg":"no more"}', "no more"),
    _sample("", '{"level":"loud","msg":"what"}', "what", S.UNSPECIFIED, "loud"),
    _sample(
        "",
        '{"answer":42,"nested":{"a":[1]}}',
        '{"answer":42,"nested":{"a":[1]}}',
        fields={"answer": 42, "nested": {"a": [1]}},
    ),
    _sample("", "{}", "{}"),
)

NAMED = (
    _sample(
        "",
        '{"what":"named","how":"bad","when":"2026-12-01T10:00:00Z","msg":"a field"}',
        "named",
        S.ERROR,
        "bad",
        TEN,
        {"msg": "a field"},
        options={"message": "what", "level": "how", "time": "when", "levels": {"bad": "ERROR"}},
        auto=False,
    ),
    _sample(
        "",
        '{"log":{"text":"deep","severity":"W"},"who":"x","data":{"n":1},"kind":"k1"}',
        "deep",
        S.WARN,
        "W",
        fields={"n": 1},
        id="k1",
        options={"message": "log.text", "level": "log.severity", "fields": "data", "id": "kind", "levels": {"w": 13}},
        auto=False,
    ),
    _sample(
        "",
        '{"level":"info","ts":1796119200,"msg":"the usual keys"}',
        "the usual keys",
        S.INFO,
        "info",
        TEN,
        options={"message": "what"},
        auto=False,
    ),
)

SAMPLES = (
    *(ZAP + ZEROLOG + LOGRUS + SLOG + PINO + BUNYAN + WINSTON + STRUCTLOG + PYTHON + ECS + GCP + JOURNALD),
    *(TRACING + RUST_SLOG + LOG4J + ENVELOPE + OTHERS + NAMED),
)
