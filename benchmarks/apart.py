"""The far end of `measurement.apart`: `python -m benchmarks.apart MODULE FUNCTION`, the job on standard input."""

import gc
import importlib
import os
import sys

import msgspec


def main() -> None:
    """Call the function with its job; print what it returns. What else it prints goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    module, name = sys.argv[1:3]
    function = getattr(importlib.import_module(module), name)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=function.__annotations__["job"])
    gc.collect()
    result = function(job)
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
