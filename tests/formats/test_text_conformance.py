"""Every format of text that Lucy ships holds the contract."""

from text_samples import TEXT_SAMPLES

from lucy_core.formats.choice import log_format
from lucy_core.formats.text import TextFormat
from lucy_core.formats.wrapped import wrapped
from lucy_core.testing.format_conformance import FormatConformance


def lines_of(name: str) -> tuple[bytes, ...]:
    return tuple(sample.line for sample in TEXT_SAMPLES if sample.format == name)


def suite_of(name: str) -> type[FormatConformance]:
    return type("Shipped", (FormatConformance,), {"log_format": log_format(name), "lines": lines_of(name), "rounds": 8})


TestApacheAccess = suite_of("apache_access")
TestApacheError = suite_of("apache_error")
TestEnvLogger = suite_of("env_logger")
TestKlog = suite_of("klog")
TestLog4j = suite_of("log4j")
TestLogfmt = suite_of("logfmt")
TestNats = suite_of("nats")
TestNginxAccess = suite_of("nginx_access")
TestNginxError = suite_of("nginx_error")
TestPostgresql = suite_of("postgresql")
TestPython = suite_of("python")
TestRabbitmq = suite_of("rabbitmq")
TestRedis = suite_of("redis")
TestSyslog = suite_of("syslog")
TestText = suite_of("text")
TestTracing = suite_of("tracing")
TestZap = suite_of("zap")
TestWrapped = suite_of("wrapped")


class TestExpression(FormatConformance):
    log_format = TextFormat(
        r"(?P<time>\S+ \S+) (?P<level>\w) (?P<member>\w+): (?P<text>.*)",
        levels={"E": "ERROR", "W": 13},
        time="%d.%m.%Y %H:%M",
    )
    lines = (b"01.12.2026 10:00 E bp1: lost it", b"01.12.2026 10:01 W bp2: low", b"01.12.2026 10:01 Q bp2: what")
    rounds = 8


class TestWrappedTwice(FormatConformance):
    log_format = wrapped("compose", wrapped("cri", "klog"))
    lines = (
        b"web-1  | 2026-12-01T10:00:00.123456789Z stdout F I1201 10:00:00.123456 1 a.go:1] up",
        b'web-1  | 2026-12-01T10:00:00.123456789Z stdout F W1201 10:00:00.123456 1 a.go:1] "low" left="3"',
        b"web-1  | 2026-12-01T10:00:00.123456789Z stderr F plain",
    )
    rounds = 8


def test_each_format_of_text_is_held_to_the_contract() -> None:
    held = {
        each.log_format.name
        for name, each in globals().items()
        if name.startswith("Test") and name != "TextFormat" and hasattr(each, "log_format")
    }
    assert {sample.format for sample in TEXT_SAMPLES} <= held
