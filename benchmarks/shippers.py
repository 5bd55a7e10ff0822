"""Log shippers as readers of a file: daemons, which take what they are to do from a file of settings.

Both are told to take lines of 4 MiB. By themselves syslog-ng cuts them at 64 KiB and rsyslog at 8, and what was cut is
no JSON any more: the lines of 2 MB were lost so, and to rsyslog ordinary ones too.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.layout import EVENT_ID
from benchmarks.wanted import BY_ID, BY_MESSAGE, BY_PATTERN, RECORDS

TEXT = "^peer .* banned after .* strikes$"
PART = "peer [^ ]+ banned after"
"""What events say, as expressions that all tools understand."""
_LINE_BYTES = 4 << 20


def syslog_ng(way: str, file: Path) -> list[str]:
    """Write syslog-ng's settings beside a file; return the command that reads it to its end."""
    wanted = {
        BY_ID: f'"${{.line.event_id}}" eq "{EVENT_ID}"',
        BY_MESSAGE: f'match("{TEXT}" value(".line.msg"))',
        BY_PATTERN: f'match("{PART}" value(".line.msg"))',
        RECORDS: '"${.line.n}" ne ""',
    }[way]
    more = " ${.line.msg} ${.line.level} ${.line.time}" if way == RECORDS else ""
    place = Path(tempfile.mkdtemp(dir=file.parent))
    settings = place / "settings"
    settings.write_text(f"""@version: 3.38
options {{ log-msg-size({_LINE_BYTES}); stats-freq(0); }};
source lines {{ stdin(flags(no-parse) log-fetch-limit(1000) log-iw-size(10000)); }};
parser json {{ json-parser(prefix(".line.")); }};
filter wanted {{ {wanted} }};
destination shown {{ file("/dev/stdout" template("n=${{.line.n}}{more}\\n")); }};
log {{ source(lines); parser(json); filter(wanted); destination(shown); }};
""")
    own = [word for flag in ("-R", "-c", "-p") for word in (flag, str(place / flag))]
    # It waits for a file's next bytes as for a pipe's, which only poll can.
    shell = 'IV_EXCLUDE_POLL_METHOD="epoll-timerfd epoll ppoll" exec syslog-ng "$@" <"$0"'
    return ["sh", "-c", shell, str(file), "-F", "--no-caps", "-f", str(settings), *own]


def rsyslogd(way: str, file: Path) -> list[str]:
    """Write rsyslog's settings beside a file; return the command that reads it, and waits for more."""
    wanted = {
        BY_ID: f' and $!event_id == "{EVENT_ID}"',
        BY_MESSAGE: ' and re_match($!msg, "' + TEXT.replace("$", r"\$") + '")',
        BY_PATTERN: f' and re_match($!msg, "{PART}")',
        RECORDS: "",
    }[way]
    more = " %$!msg% %$!level% %$!time%" if way == RECORDS else ""
    place = Path(tempfile.mkdtemp(dir=file.parent))  # it goes on where it was, so each run has its own
    settings = place / "settings"
    settings.write_text(f"""global(workDirectory="{place}" maxMessageSize="{_LINE_BYTES}")
main_queue(queue.type="Direct")
module(load="imfile")
module(load="mmjsonparse")
template(name="shown" type="string" string="n=%$!n%{more}\\n")
input(type="imfile" file="{file}" tag="n" ruleset="lines")
ruleset(name="lines") {{
    action(type="mmjsonparse" cookie="")
    if $parsesuccess == "OK"{wanted} then action(type="omfile" file="/dev/stdout" template="shown")
}}
""")
    return ["rsyslogd", "-n", "-f", str(settings), "-i", str(place / "pid")]


SHIPPERS: dict[str, Callable[[str, Path], list[str]]] = {"syslog-ng": syslog_ng, "rsyslogd": rsyslogd}
WAITING = ("rsyslogd",)
"""Which wait for more at the end of a file."""
