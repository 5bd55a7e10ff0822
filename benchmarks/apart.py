"""The far end of `measurement.apart`: `python -m benchmarks.apart MODULE FUNCTION`, the job on standard input."""

import gc
import importlib
import os
import sys

import msgspec

from benchmarks.measurement import BenchmarkError


def leaves(group: BaseExceptionGroup) -> list[BaseException]:
    """Take the exceptions out of a group of groups."""
    found = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def main() -> None:
    """Call the function with its job; print what it returns. What else it prints goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    module, name = sys.argv[1:3]
    function = getattr(importlib.import_module(module), name)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=function.__annotations__["job"])
    gc.collect()
    try:
        result = function(job)
    except* BenchmarkError as group:
        sys.exit("; ".join(map(str, leaves(group))))
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
