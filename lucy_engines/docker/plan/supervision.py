"""What PID 1 of a node's container is: which files of ours it is made of, and how it is started. Pure.

The choice between the puppeteer's two forms is made inside of the container, by the only one who knows the image: a
shell asks for `python3`, and a Python that is too old hands over to the shell form. That costs no call to the Engine
and no further start of an interpreter; looking into the image from outside would cost a container, or a download of it.
"""

from collections.abc import Sequence
from pathlib import Path

import lucy_core
import lucy_engines
from lucy_engines.docker.plan.inside import HOME

_CORE = Path(lucy_core.__file__).parent
_ENGINES = Path(lucy_engines.__file__).parent
_PYTHON = (
    "import os, sys; "
    f"sys.version_info >= (3, 7) or os.execvp('sh', ['sh', '{HOME}/puppeteer.sh', *sys.argv[1:]]); "
    f"sys.path.insert(0, '{HOME}'); "
    "import puppeteer; "
    "sys.exit(puppeteer.main())"
)
_BOOT = (
    # -I -S: neither the image's environment nor its packages reach the puppeteer, another Lucy among them least of all.
    f'if command -v python3 >/dev/null 2>&1; then exec python3 -I -S -c "{_PYTHON}" "$@"; fi; '
    f'exec sh {HOME}/puppeteer.sh "$@"'
)


def files() -> dict[str, Path]:
    """Return what has to be seen, read-only, in a container: path there, file here."""
    return {
        f"{HOME}/puppeteer.py": _ENGINES / "supervisor" / "puppeteer.py",
        f"{HOME}/puppeteer.sh": _ENGINES / "supervisor" / "puppeteer.sh",
        **{
            f"{HOME}/lucy_engines/supervisor/{name}.py": _ENGINES / "supervisor" / f"{name}.py"
            for name in ("pipe", "relay", "sender")
        },
        f"{HOME}/lucy_core/filters/expressions.py": _CORE / "filters" / "expressions.py",
        f"{HOME}/lucy_core/filters/logproc.py": _CORE / "filters" / "logproc.py",
        f"{HOME}/lucy_core/records/severity.py": _CORE / "records" / "severity.py",
        f"{HOME}/lucy_core/capturing/tagged.py": _CORE / "capturing" / "tagged.py",
        "/start.sh": _ENGINES / "supervisor" / "start.sh",
        "/stop.sh": _ENGINES / "supervisor" / "stop.sh",
    }


def entrypoint(command: Sequence[str]) -> list[str]:
    """Return the program and arguments of PID 1, which starts `command` when it is told to."""
    return ["/bin/sh", "-c", _BOOT, "lucy", "--", *command]
