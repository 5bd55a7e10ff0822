"""PID 1 of a node's container, in both of its forms, as a local process."""

import ast
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from puppets import ENGINES, FORMS, PYTHONS, SHELLS, alive, puppet, supervisor

from lucy_core.errors import SupervisorError
from lucy_engines.docker.plan import supervision
from lucy_engines.docker.run.node import seconds_word
from lucy_engines.supervisor.link import encode_word
from lucy_engines.supervisor.puppeteer import OFFLINE, decode_word

pytestmark = pytest.mark.blocking

POLITE = "trap 'echo bye; exit 0' TERM; echo here; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo here; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # the puppeteer has no loop, and its link is tested on both


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_the_daemons_output_is_the_fifo_itself(form: str, tmp_path: Path) -> None:
    show = "readlink /proc/self/fd/1; readlink /proc/self/fd/2; readlink /proc/self/fd/0"
    async with puppet(form, tmp_path, "sh", "-c", show) as bp:
        await bp.link.ask("start")
        await bp.until("exited")

        text = await bp.wrote(b"null\n")

        assert text.decode().split() == [str(tmp_path / "log")] * 2 + ["/dev/null"]


async def test_a_stopped_daemon_says_its_last_words_before_the_reply(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", POLITE) as bp:
        await bp.link.ask("start")
        await bp.wrote(b"here\n")

        await bp.link.ask("stop", "20")

        assert bp.unread().endswith(b"bye\n")
        assert [(end.code, end.signal) for end in bp.heard("exited")] == [(0, None)]
        assert bp.heard("exited")[0].after > 0


async def test_a_daemon_that_does_not_stop_in_time_is_killed(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", DEAF) as bp:
        await bp.link.ask("start")
        await bp.wrote(b"here\n")

        await bp.link.ask("stop", "1")

        assert [(end.code, end.signal) for end in bp.heard("exited")] == [(None, "SIGKILL")]


async def test_what_the_daemon_started_goes_with_it(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", f"sh -c 'echo $$; {DEAF}' & wait") as bp:
        await bp.link.ask("start")
        text = await bp.wrote(b"here\n")
        child = int(text.split()[0])
        assert alive(child)

        await bp.link.ask("kill")

        # Outside of a container a shell doesn't inherit orphans, so it can't wait for one that is about to die.
        with anyio.fail_after(30 if form in SHELLS else 0.0):
            while alive(child):
                await anyio.sleep(0.01)


async def test_what_the_daemon_left_behind_detached_goes_with_it(python: str, tmp_path: Path) -> None:
    there = tmp_path / "there"
    leave = f"(setsid sh -c 'echo $$; : > {there}; {DEAF}' &); until [ -e {there} ]; do sleep 0.05; done; exit 7"
    async with puppet(python, tmp_path, "sh", "-c", leave) as bp:
        await bp.link.ask("start")
        end = await bp.until("exited")
        text = await bp.wrote(b"\n")

        assert end.code == 7
        assert not alive(int(text.split()[0]))


@pytest.mark.parametrize(
    ("script", "code", "number"),
    (("exit 3", 3, None), ("kill -9 $$", None, "SIGKILL"), ("kill $$", None, "SIGTERM")),
)
async def test_a_daemon_that_ends_by_itself_is_reported_with_code_or_signal(
    form: str, tmp_path: Path, script: str, code: int | None, number: str | None
) -> None:
    async with puppet(form, tmp_path, "sh", "-c", script) as bp:
        await bp.link.ask("start")

        end = await bp.until("exited")

        assert (end.code, end.signal, end.number) == (code, number, 1)


async def test_a_death_by_a_signal_that_has_no_name_is_reported_too(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", "kill -40 $$") as bp:
        await bp.link.ask("start")

        end = await bp.until("exited")

        assert (end.code, (end.signal or "").startswith("SIG")) == (None, True)  # shells make up one
        await bp.link.ask("ping")


SLOW = "trap 'sleep 0.1; exit 5' TERM; echo here; while :; do sleep 0.02; done"


@pytest.mark.parametrize("grace", (30 * 86_400.0, 1e9, float("inf")))
async def test_a_grace_period_may_be_for_ever(form: str, grace: float, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", SLOW) as bp:
        await bp.link.ask("start")
        await bp.wrote(b"here\n")
        await bp.link.ask("stop", seconds_word(grace))
        end = await bp.until("exited")
        assert (end.code, end.signal) == (5, None)
        await bp.link.ask("ping")


WRITTEN = ((0, "0"), (0.0, "0"), (0.25, "0.25"), (99_999, "99999"), (2_592_000.0, "2592000"), (1e300, "1000000000"))


@pytest.mark.parametrize(("seconds", "word"), WRITTEN)
def test_seconds_are_written_as_a_shell_reads_them(seconds: float, word: str) -> None:
    assert seconds_word(seconds) == word


async def test_puppeteer_lines_are_offered_for_the_nodes_log(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", "exit 3") as bp:
        await bp.link.ask("start")
        await bp.until("exited")

        exited, offline = (event.line for event in bp.heard("log"))

        assert offline == OFFLINE
        assert '"node_exited"' in exited
        assert "exited with code 3" in exited


async def test_a_daemon_can_be_started_again(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", POLITE) as bp:
        for _ in range(2):
            await bp.link.ask("start")
            await bp.wrote(b"here\n")
            await bp.link.ask("stop", "20")
            bp.text = b""

        assert [end.number for end in bp.heard("exited")] == [1, 2]


async def test_a_fresh_start_empties_the_state_and_another_keeps_it(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", 'ls -A "$0"; echo end', str(tmp_path / "state")) as bp:
        for name in ("kept", ".hidden", "..two"):
            (tmp_path / "state" / name).touch()
        (tmp_path / "state" / "deep").mkdir()
        (tmp_path / "state" / "deep" / "er").touch()

        await bp.link.ask("start")
        assert sorted((await bp.wrote(b"end\n")).split()) == [b"..two", b".hidden", b"deep", b"end", b"kept"]
        await bp.until("exited")
        bp.text = b""
        await bp.link.ask("start", "fresh")

        assert await bp.wrote(b"end\n") == b"end\n"


async def test_a_fresh_start_leaves_alone_what_a_link_in_place_of_the_state_leads_to(form: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    async with puppet(form, tmp_path, "sh", "-c", 'ls -A "$0"; echo end', str(tmp_path / "state")) as bp:
        (tmp_path / "state").rmdir()
        (tmp_path / "state").symlink_to(precious)
        await bp.link.ask("start", "fresh")

        assert await bp.wrote(b"end\n") == b"end\n"
        await bp.until("exited")
    assert list(precious.iterdir()) == [precious / "file"]


HOSTILE = ("", "two words", "a\nb\n", "$(echo no) `no` \\n \\\\ %s", "'\"*?[a]", "é\u2028 ~#&;|<>", "A=B=C", "x" * 9000)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
async def test_environment_at_start_arrives_as_it_was_given(form: str, tmp_path: Path, value: str) -> None:
    async with puppet(form, tmp_path, "sh", "-c", 'printf "%s[end]" "$GIVEN"', GIVEN="before") as bp:
        await bp.link.ask("start", f"GIVEN={value}")

        assert await bp.wrote(b"[end]") == f"{value}[end]".encode()


async def test_the_daemon_does_not_see_what_was_meant_for_its_supervisor(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", "env; echo end", LUCY_TOKEN="secret", LUCY_NODE="bp") as bp:
        await bp.link.ask("start")

        text = (await bp.wrote(b"\nend\n")).decode()

        assert "LUCY_NODE=bp" in text
        assert "secret" not in text


async def test_the_daemon_runs_in_the_nodes_directory(form: str, tmp_path: Path) -> None:
    place = tmp_path / "node"
    place.mkdir()
    async with puppet(form, tmp_path, "pwd", LUCY_NODE_DIRECTORY=str(place)) as bp:
        await bp.link.ask("start")

        assert await bp.wrote(b"\n") == f"{place}\n".encode()


async def test_wrong_moves_are_refused_and_harm_nothing(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", POLITE) as bp:
        await bp.link.ask("stop", "1")
        await bp.link.ask("kill")
        await bp.link.ask("start")
        with pytest.raises(SupervisorError, match="can't start bp: the daemon runs already"):
            await bp.link.ask("start")
        with pytest.raises(SupervisorError, match="no verb is called '?dance"):
            await bp.link.ask("dance")
        await bp.link._stream.send(b"\n\nnonsense ping\n")
        await bp.until("complaint")
        await bp.link.ask("ping")

        assert bp.heard("exited") == []


async def test_a_program_that_is_not_there_is_a_sentence(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "no-such-program") as bp:
        with pytest.raises(SupervisorError, match="can't run no-such-program: No such file or directory"):
            await bp.link.ask("start")
        await bp.link.ask("ping")


async def test_a_word_that_no_program_can_be_given_is_a_sentence(python: str, tmp_path: Path) -> None:
    async with puppet(python, tmp_path, "sh", "-c", POLITE) as bp:
        with pytest.raises(SupervisorError, match="can't run .*: embedded null byte"):
            await bp.link.ask("start", "X=a\0b")
        await bp.link.ask("start")


@pytest.mark.parametrize("name", ("with-hyphen", "1st"))
async def test_a_variable_that_no_shell_can_set_is_a_sentence(name: str, tmp_path: Path) -> None:
    for form in SHELLS:
        (tmp_path / form).mkdir()
        async with puppet(form, tmp_path / form, "sh", "-c", POLITE) as bp:
            with pytest.raises(SupervisorError, match=f"a shell can't set the variable {name}"):
                await bp.link.ask("start", "RIGHT=1", f"{name}=2")
            await bp.link.ask("start")


async def test_a_nodes_environment_means_nothing_to_its_supervisor(form: str, tmp_path: Path) -> None:
    given = {"stopped": "1", "terminated": "1", "begun": "1"}
    async with puppet(form, tmp_path, "sh", "-c", POLITE, **given) as bp:
        await bp.link.ask("ping")
        await bp.link.ask("start")
        await bp.link.ask("ping")
        await bp.wrote(b"here")

        assert bp.heard("exited") == []


async def test_a_fifo_that_nobody_reads_is_a_sentence(python: str, tmp_path: Path) -> None:
    async with puppet(python, tmp_path, "true", read=False) as bp:
        with pytest.raises(SupervisorError, match="nobody reads the log"):
            await bp.link.ask("start")


@pytest.mark.parametrize("setting", ({"LUCY_CAPTURE": "tcp"}, {"LUCY_CAPTURE_FILTER": "Warn"}), ids=("tcp", "filter"))
async def test_the_shell_form_refuses_what_needs_python(tmp_path: Path, setting: dict[str, str]) -> None:
    async with puppet("dash", tmp_path, "true", **setting) as bp:
        with pytest.raises(SupervisorError, match=r"this image has no Python 3\.7"):
            await bp.link.ask("start")


async def test_upstreams_signals_and_scripts_start_and_stop_the_daemon(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", POLITE) as bp:
        await bp.until("ready")
        environment = {
            **os.environ,
            "LUCY_PUPPETEER_PID": str(bp.process.pid),
            "LUCY_ACTIVE_FILE": str(tmp_path / "active"),
        }

        await anyio.run_process(["sh", str(ENGINES / "start.sh")], env=environment, stderr=None)
        await bp.wrote(b"here\n")
        assert (tmp_path / "active").exists()
        await anyio.run_process(["sh", str(ENGINES / "stop.sh")], env=environment, stderr=None)

        end = await bp.until("exited")
        assert end.code == 0


async def test_a_senseless_signal_is_not_kept_for_later(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", POLITE) as bp:
        await bp.until("ready")
        bp.process.send_signal(signal.SIGUSR1)
        await bp.link.ask("ping")
        await bp.link.ask("ping")
        await bp.link.ask("start")
        await bp.wrote(b"here\n")

        bp.process.send_signal(signal.SIGUSR2)
        await bp.link.ask("stop", "20")
        await bp.link.ask("ping")

        assert len(bp.heard("started")) == len(bp.heard("exited")) == 1


async def test_sigterm_stops_the_daemon_and_then_the_puppeteer(form: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "sh", "-c", POLITE) as bp:
        await bp.link.ask("start")
        await bp.wrote(b"here\n")

        bp.process.send_signal(signal.SIGTERM)

        assert await bp.end() == 0
        assert bp.unread().endswith(b"bye\n")


async def test_without_a_link_it_starts_by_itself_writes_its_lines_and_ends_as_the_daemon_does(
    form: str, tmp_path: Path
) -> None:
    async with puppet(form, tmp_path, "sh", "-c", "echo here; exit 5", LUCY_AUTOSTART="1") as bp:
        await bp.link.aclose()

        status = await bp.end()

        lines = (await bp.wrote(OFFLINE.encode())).decode().splitlines()
        assert status == 5
        assert lines[0] == "here"
        assert '"node_exited"' in lines[1]
        assert lines[2] == OFFLINE


def test_lines_that_go_to_stderr_are_followed_by_a_mark(form: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [*supervisor(form, tmp_path), "--", "sh", "-c", "echo out; echo error >&2; printf half"],
        env={
            **os.environ,
            "LUCY_CAPTURE": "engine",
            "LUCY_TOKEN": "t0",
            "LUCY_AUTOSTART": "1",
            "LUCY_ACTIVE_FILE": f"{tmp_path}/active",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )

    assert ended.stderr.startswith(b"out\nerror\nhalf\x1eLUCY t0 1\n")
    assert ended.returncode == 0


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_any_word_survives_the_links_quoting(word: str) -> None:
    quoted = encode_word(word)

    assert decode_word(quoted) == word.encode()
    assert not quoted or quoted.split() == [quoted]


@pytest.mark.parametrize(
    "file", [file for file in supervision.files().values() if file.suffix == ".py"], ids=lambda file: file.name
)
def test_what_is_carried_into_containers_is_python_3_7(file: Path) -> None:
    module = ast.parse(file.read_text(), feature_version=(3, 7))

    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in module.body)


# --- as whom, with what, and by which signals ----------------------------------------------------------------------

CHILD = "sh -c 'trap \"echo child\" HUP; echo here; while :; do sleep 0.02; done' &"


async def test_a_signal_goes_to_the_daemon_alone_or_to_all_of_it(form: str, tmp_path: Path) -> None:
    script = f"{CHILD} trap 'echo daemon' HUP; echo here; while :; do sleep 0.02; done"
    async with puppet(form, tmp_path, "sh", "-c", script) as bp:
        await bp.link.ask("signal", "1", "daemon")  # nobody is there, which is no error
        await bp.link.ask("start")
        started = await bp.until("started")
        assert alive(started.pid)
        await bp.wrote(lambda text: text.count(b"here") == 2)

        await bp.link.ask("signal", "1", "daemon")
        await bp.wrote(b"daemon\n")
        assert b"child" not in bp.text
        await bp.link.ask("signal", "1", "group")
        await bp.wrote(lambda text: b"child\n" in text and text.count(b"daemon") == 2)

        for words in (("x", "daemon"), ("1",), (), ("", "daemon")):
            with pytest.raises(SupervisorError, match="a signal is a number, and whom it goes to"):
                await bp.link.ask("signal", *words)


@pytest.mark.parametrize("number", (signal.SIGHUP, signal.SIGINT))
async def test_the_daemon_is_asked_to_end_by_its_own_signal_alone(
    form: str, number: signal.Signals, tmp_path: Path
) -> None:
    if form == "ash" and number is signal.SIGINT:
        pytest.skip(
            "busybox has no means to undo that a shell ignores it; a daemon that wants it takes it all the same"
        )
    # It ends by itself after the daemon: nobody else takes it away where the puppeteer isn't PID 1 of a container.
    loop = "while kill -0 $PPID 2>&-; do sleep 0.02; done"
    child = f"sh -c 'trap \"echo cut\" HUP INT TERM; echo here; {loop}' & child=$!;"
    script = f"{child} trap 'sleep 0.2; echo bye; exit 3' {number.name}; echo here; while :; do sleep 0.02; done"
    own = {"LUCY_STOP_SIGNAL": str(int(number)), "LUCY_STOP_TO": "daemon"}
    async with puppet(form, tmp_path, "bash", "-c", f"set -m; {script}", **own) as bp:
        await bp.link.ask("start")
        await bp.wrote(lambda text: text.count(b"here") == 2)
        await bp.link.ask("stop", "20")
        end = await bp.until("exited")
        assert (end.code, end.signal) == (3, None)
        assert b"bye" in await bp.wrote(b"bye\n")
        assert b"cut" not in bp.text


async def test_one_start_may_have_other_arguments(form: str, tmp_path: Path) -> None:
    show = 'for word; do printf "[%s]" "$word"; done; echo'
    words = ("-c", show, "sh", "a b", "", "$x`'\"\\", "--", "*", "new\nline", "\u00fc")
    async with puppet(form, tmp_path, "sh", "-c", "echo own") as bp:
        await bp.link.ask("arguments", *(f"+{word}" for word in words))
        await bp.link.ask("start", "other", "X=1")
        await bp.until("exited")
        assert "[a b][][$x`'\"\\][--][*][new\nline][\u00fc]\n" in (await bp.wrote(b"]\n")).decode()

        await bp.link.ask("start", "other")  # those of the start before are gone, and none are none
        await bp.until("exited", 2)
        await bp.link.ask("arguments", "+-c", "+echo unwanted")
        await bp.link.ask("start")
        await bp.until("exited", 3)
        await bp.link.ask("start", "other")
        await bp.until("exited", 4)
        assert b"unwanted" not in await bp.wrote(b"own\n")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root, as PID 1 of a container is")


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may go into: pytest's are its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


@as_root
@pytest.mark.parametrize("user", ("nobody", "nobody:daemon", "65534:1"))
async def test_the_daemon_runs_as_its_user_who_has_its_directory(form: str, user: str, open_place: Path) -> None:
    node = open_place / "node"
    (node / "keys").mkdir(parents=True, mode=0o700)
    (node / "keys/own").write_text("key")
    (node / "keys/link").symlink_to(open_place)
    node.chmod(0o700)
    own = {"LUCY_USER": user, "LUCY_NODE_DIRECTORY": str(node), "HOME": "/root", "USER": "somebody"}
    script = "id -un; id -gn; echo $HOME $USER; cat keys/own; touch file; echo done >/dev/stdout; "
    script += "env | grep -cE 'LUCY_(USER|STOP)'"
    async with puppet(form, open_place, "sh", "-c", script, **own) as bp:
        (open_place / "log").chmod(0o622)  # as it is in a run directory
        if form == "ash" and ":" in user:
            with pytest.raises(SupervisorError, match=f"has neither Python 3.7 or newer nor setpriv, .* as {user}"):
                await bp.link.ask("start")
            return
        await bp.link.ask("start")
        end = await bp.until("exited")
        text = (await bp.wrote(b"done\n")).decode()
        assert text.startswith(f"nobody\n{'nogroup' if user == 'nobody' else 'daemon'}\n/nonexistent somebody\nkey")
        assert end.code == 1  # there are none
        assert {each.lstat().st_uid for each in (node, node / "keys/own", node / "keys/link", node / "file")} == {65534}
        assert open_place.stat().st_uid == 0


@as_root
async def test_a_directory_that_cannot_be_given_to_the_user_is_refused(form: str, tmp_path: Path) -> None:
    own = {"LUCY_USER": "nobody", "LUCY_NODE_DIRECTORY": "/proc/sys/kernel/random"}
    async with puppet(form, tmp_path, "true", **own) as bp:
        for _ in range(2):
            with pytest.raises(SupervisorError, match="/proc/sys/kernel/random.*Operation not permitted"):
                await bp.link.ask("start")


@as_root
@pytest.mark.parametrize("user", ("nosuchuser", "nobody:nosuchgroup", "4711"))
async def test_a_user_whom_the_image_lacks_is_refused_by_name(form: str, user: str, tmp_path: Path) -> None:
    async with puppet(form, tmp_path, "true", LUCY_USER=user) as bp:
        with pytest.raises(SupervisorError, match=f"this image has no (user|group|user or group) .*{user[-5:]}"):
            await bp.link.ask("start")
