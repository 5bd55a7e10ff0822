"""Disks of their own for tests that fill them or have them hang. They need root, and are skipped without."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(kind: str, disk: Path) -> Iterator[Path]:
    """Mount a small file system, a tmpfs of 2 MB or an ext4 of 8, or skip the test where that isn't allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    else:
        image = disk.with_suffix(".image")
        image.touch()
        os.truncate(image, 8 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        command = ["mount", "-o", "loop,noatime", str(image), str(disk)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no loop device: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextlib.contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """Have whoever writes to a disk wait until this is left. It is thawed by a process that sees to it if we die."""
    script = 'fsfreeze -f "$0" && echo frozen && read -r _; fsfreeze -u "$0"'
    command = ["sh", "-c", script, str(disk)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as thawing:
        assert thawing.stdout is not None
        assert thawing.stdout.readline() == b"frozen\n"
        try:
            yield
        finally:
            thawing.communicate()
