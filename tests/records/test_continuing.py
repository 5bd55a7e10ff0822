"""Lines that go on with the record before, as they are written by what crashes."""

import pytest

from lucy_core.records.record import plain_record

TRACES = {
    "java": """\
java.lang.IllegalStateException: Broken
\tat com.example.App.run(App.java:12)
\tat java.base/java.lang.Thread.run(Thread.java:829)
\tSuppressed: java.io.IOException: closed
\t\tat com.example.App.close(App.java:40)
Suppressed: java.io.IOException: closed
Caused by: com.example.App$NotThere: gone
\tat com.example.App.run(App.java:14)
\t... 12 more
... 3 common frames omitted
Wrapped by: java.lang.RuntimeException: outer
org.example.Gone: no more""",
    "python": """\
Traceback (most recent call last):
  File "/app/app.py", line 12, in main
    run()
    ~~~^^
  [Previous line repeated 3 more times]
app.errors.NotThere: gone

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
KeyError: 'x'

The above exception was the direct cause of the following exception:

  + Exception Group Traceback (most recent call last):
  |   File "/app/app.py", line 12, in main
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
ExceptionGroup: two (2 sub-exceptions)
subprocess.CalledProcessError: Command 'x' returned non-zero exit status 1.
asyncio.exceptions.CancelledError: no
StopIteration
KeyboardInterrupt
SystemExit: 2""",
    "go": """\
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47]

goroutine 1 [running]:
goroutine 7 gp=0xc000 m=0 mp=0x0 [running]:
goroutine 18 [chan receive, 2 minutes]:
main.main()
main.(*Server).run(0xc0000b2000, {0x5, 0x1?})
net/http.(*conn).serve(0xc000124000, {0x6f, 0xc0})
github.com/a-b/c.d/e.Map[...](0x1)
main.f(...)
panic({0x45e0, 0x4b})
\t/src/main.go:12 +0x1d
created by main.main
created by net/http.(*Server).Serve in goroutine 1
rax    0x0
rflags 0x246
exit status 2""",
    "zap": """\
main.main
\t/src/main.go:20
main.main.func1
main.(*Server).run
net/http.(*conn).serve
net/http.HandlerFunc.ServeHTTP
go.uber.org/zap.(*Logger).Error
github.com/a-b/c.d/raft.tick
testing.tRunner
runtime.goexit
\t/usr/lib/go-1.19/src/runtime/proc.go:250""",
    "rust": """\
stack backtrace:
   0: rust_begin_unwind
             at /rustc/library/std/src/panicking.rs:645:5
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.""",
    "node.js": """\
TypeError: x is not a function
RangeError [ERR_OUT_OF_RANGE]: The value is out of range
    at Object.<anonymous> (/app/index.js:10:9)
    at node:internal/main/run_main_module:17:47 {
  code: 'X'
}

Node.js v22.1.0""",
    ".net": """\
System.InvalidOperationException: Broken
 ---> System.IO.IOException: gone
   at App.Run() in /app/App.cs:line 12
   --- End of inner exception stack trace ---
--- End of stack trace from previous location ---""",
    "postgresql": "\tFROM t\n\tWHERE x = 1",
}


@pytest.mark.parametrize("of", sorted(TRACES))
def test_a_line_of_a_stack_trace_goes_on_with_the_record_before(of):
    assert [line for line in TRACES[of].split("\n") if not plain_record(line.encode()).continues] == []


@pytest.mark.parametrize(
    "line",
    (
        "hello",
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "fatal error: all goroutines are asleep - deadlock!",
        "thread 'main' panicked at src/main.rs:4:5:",
        'Exception in thread "main" java.lang.IllegalStateException: Broken',
        "Error: listen EADDRINUSE: address already in use",
        "Database: ok",
        "Server v1.2 (build 7)",
        "Listening on http://0.0.0.0:80 (all interfaces)",
        "called connect()",
        "goroutine count is 7",
        "note: nothing",
        "done.",
        "1: first",
        "main.go",
        "main",
        "example.com/a/index.html",
        "https://example.com/a.B",
        "github.com/a/b",
        "src/main.go",
        "a/b.c",
        "version 1.2",
        "10.0.0.7",
    ),
)
def test_a_line_that_begins_something_goes_on_with_nothing(line):
    assert not plain_record(line.encode()).continues
    assert plain_record(line.encode()).is_unleveled


def test_a_line_that_names_an_error_may_be_one():
    assert plain_record(b"ValueError: bad").is_unleveled
    assert plain_record(b"Traceback (most recent call last):").is_unleveled
    assert not plain_record(b"  File 'x'").is_unleveled
    assert not plain_record(b"").is_unleveled
    assert not plain_record(b"main.main()").is_unleveled


@pytest.mark.parametrize("piece", (b"a.", b"a", b"(", b"A", b"a.A", b"(*a)", b"[...]", b"}", b"note: ", b"0x"))
def test_no_line_takes_longer_than_it_is_long(piece):
    plain_record(piece * 100_000 + b"!").continues  # noqa: B018  # quadratic would be minutes
