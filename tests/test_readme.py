"""The README's example is run as it stands."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_library_example_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = [block for block in python_blocks() if "anyio.run(main)" in block]
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("lucy-runs/*/logs/bp-1.ndjson"))


def test_the_declaration_example_declares_an_event_type() -> None:
    (example,) = [block for block in python_blocks() if "class PeerBanned" in block]
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert "PeerBanned" in names
