"""Which of a node's formats a source is read in."""

from pathlib import Path

import pytest

import lucy_core as lucy
from lucy_core.formats.choice import formats_of


def test_a_source_that_is_named_has_its_own_format_whatever_patterns_come_before() -> None:
    chosen = formats_of({"log/*": "json", "log/a.log": "klog", "log/b*": "logfmt", "": "text"}, "log_format")
    for source, name in (("log/a.log", "klog"), ("log/b.log", "json"), ("stdout", "text"), ("", "text")):
        assert chosen.of(source).name == name


def test_a_node_is_as_strict_as_its_strictest_source() -> None:
    assert not formats_of({"stderr": "klog"}, "log_format").are_strict
    assert formats_of({"stderr": lucy.log_format("klog", malformed="soft")}, "log_format").are_strict


@pytest.mark.anyio
async def test_lucys_journal_keeps_its_format(tmp_path: Path) -> None:
    async with lucy.Pipeline.record(tmp_path / "run") as pipeline:
        with pytest.raises(lucy.ArgumentError, match="node='lucy' is Lucy's own journal"):
            pipeline.read_as("lucy", "klog")
        pipeline.read_as("a", "klog")
