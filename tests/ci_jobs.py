"""Jobs of CI systems, run as their runners run them, on a project that passes and on the same one with a failing test.

A job begins in a fresh checkout of the project. On GitHub each `run` is a file for a `bash -e` of its own, and behind a
step that failed only those go on whose `if` says so. On GitLab one `bash -eo pipefail` takes all lines of `script`.
When the test has failed, what the job keeps must have the run directory and JUnit's report in it.

No schema says which keys there are: whatever key, action or image isn't known here, and thus done, is refused.
What only the service itself can do is stood in for:

- `actions/checkout`, and GitLab's own, by the project's files;
- `actions/setup-python`, and the image `python`, by an environment of this machine's Python with pip and nothing else;
  the version is only held against those that Lucy runs on, and `runs-on` is held to be Linux;
- `actions/upload-artifact` and `artifacts`, by a look at whether what they name is there;
- `docker:dind`, by this machine's Engine on a port of loopback; the job's `tcp://docker:2375` is that port then;
- the job of the reader's own that has built the nodes' images, by an `image.tar` with busybox in each of them.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from packaging.specifiers import SpecifierSet
from places import REPOSITORY
from remote_engine import engine_over_tcp
from shells import SYSTEM_PATH, ShellError, run_shell

GITHUB, GITLAB = ".github/workflows/", ".gitlab-ci.yml"
EVENTS = ("push", "pull_request")
SERVICE = {"DOCKER_HOST": "tcp://docker:2375", "DOCKER_TLS_CERTDIR": ""}
"""How a job reaches `docker:dind`: by the service's name, without TLS once it is told to have no certificates."""
BROKEN = "a change has broken it"
SECONDS = 300
IMAGE = re.compile(r"\bimage=\"([\w./-]+:[\w.-]+)\"")


class JobError(Exception):
    """A job does not do what its page says."""


class Machine(NamedTuple):
    """Where jobs run."""

    environment: Mapping[str, str]
    lucy: Path | None = None
    """The wheel of Lucy that a registry would have; with it a job gets a Python of its own."""
    engine: str | None = None


class Ended(NamedTuple):
    failed: bool
    written: str
    kept: tuple[Path, ...]


def are_jobs(title: str | None) -> bool:
    return title is not None and (title.startswith(GITHUB) or title == GITLAB)


def run_jobs(title: str, text: str, before: str, files: Mapping[str, str], directory: Path, machine: Machine) -> None:
    """Run each job of a configuration, or of the part of one that comes after another.

    Raises:
        JobError: naming the job, and what it does not do.
    """
    read, run = (_github, _github_job) if title.startswith(GITHUB) else (_gitlab, _gitlab_job)
    for name, job in read(text, before).items():
        place = directory / re.sub(r"\W", "-", name)
        with ExitStack() as stack:
            environment = stack.enter_context(_equipped(machine, place, _images(files)))
            for kind, project in (("passing", files), ("failing", _broken(files))):
                checkout = place / kind
                checkout.mkdir()
                check_out = partial(_check_out, project, machine)
                try:
                    ended = run(job, checkout, check_out, environment)
                    _judge(ended, fails=kind == "failing")
                except (JobError, ShellError) as error:
                    raise JobError(f"job {name!r}, on a {kind} project: {error}") from None


# --- GitHub ---------------------------------------------------------------------------------------------------------


def _github(text: str, before: str) -> dict[str, Any]:
    if before:
        raise JobError("a workflow is a file of its own")
    workflow = yaml.safe_load(text)
    if True in workflow:  # to YAML 1.1, which PyYAML reads, `on` is a boolean
        workflow["on"] = workflow.pop(True)
    _know(workflow, "name", "on", "jobs")
    if strange := [event for event in workflow["on"] if event not in EVENTS]:
        raise JobError(f"nobody knows when {strange} happen")
    return dict(workflow["jobs"])


def _github_job(
    job: dict[str, Any], checkout: Path, check_out: Callable[[Path], None], environment: Mapping[str, str]
) -> Ended:
    _know(job, "runs-on", "timeout-minutes", "steps")
    if job["runs-on"] != "ubuntu-latest":
        raise JobError(f"nobody knows what runs on {job['runs-on']!r}")
    within = min(SECONDS, 60 * int(job["timeout-minutes"]))
    environment = {**environment, "GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(checkout)}
    failed, written = False, ""
    kept: list[Path] = []
    for number, step in enumerate(job["steps"]):
        _know(step, "if", "run", "uses", "with")
        if not _goes_on(step.get("if", "success()"), failed=failed):
            continue
        if "uses" in step:
            kept += _act(step["uses"], step.get("with", {}), checkout, check_out)
            continue
        script = checkout.with_name(f"{checkout.name}-{number}.sh")
        script.write_text(_commands([step["run"]]))
        code, said = run_shell(["bash", "-e", script], checkout, environment, within=within)
        written += said + (f"{step['run']!r} ended with {code}\n" if code else "")
        if code and failed:
            raise JobError(f"a step failed behind one that had failed:\n{written}")
        failed = failed or code != 0
    return Ended(failed, written, tuple(kept))


def _goes_on(condition: str, *, failed: bool) -> bool:
    conditions = {"success()": not failed, "failure()": failed, "always()": True}
    if condition not in conditions:
        raise JobError(f"nobody knows when {condition!r} is so")
    return conditions[condition]


def _act(action: str, given: dict[str, Any], checkout: Path, check_out: Callable[[Path], None]) -> list[Path]:
    """Stand in for an action; return what it keeps."""
    name, _, version = action.partition("@")
    if not re.fullmatch(r"v\d+", version):
        raise JobError(f"{action!r} has no version")
    if name == "actions/checkout":
        _know(given)
        check_out(checkout)
    elif name == "actions/setup-python":
        _know(given, "python-version")
        _hold_version(given["python-version"])
    elif name == "actions/upload-artifact":
        _know(given, "name", "path")
        return [checkout / path for path in given["path"].split()]
    else:
        raise JobError(f"nobody knows what {action!r} does")
    return []


# --- GitLab ---------------------------------------------------------------------------------------------------------


def _gitlab(text: str, before: str) -> dict[str, Any]:
    """The jobs of the later part; each has what the job that it extends has, key by key, where it says nothing else."""
    jobs = {**yaml.safe_load(before or "{}"), **yaml.safe_load(text)}
    for name, job in jobs.items():
        if (base := job.pop("extends", None)) is not None:
            if base not in jobs:
                raise JobError(f"job {name!r} extends {base!r}, which is no job")
            jobs[name] = jobs[base] | job
    return {name: jobs[name] for name in yaml.safe_load(text)}


def _gitlab_job(
    job: dict[str, Any], checkout: Path, check_out: Callable[[Path], None], environment: Mapping[str, str]
) -> Ended:
    _know(job, "image", "timeout", "services", "variables", "script", "artifacts")
    image, _, version = job["image"].partition(":")
    if image != "python":
        raise JobError(f"nobody knows what image {job['image']!r} has")
    _hold_version(version)
    limit = re.fullmatch(r"(\d+) minutes", str(job["timeout"]))
    if limit is None:
        raise JobError(f"nobody knows how long {job['timeout']!r} is")
    check_out(checkout)
    environment = {**environment, **_variables(job, environment), "GITLAB_CI": "true", "CI_PROJECT_DIR": str(checkout)}
    shell = ["bash", "-c", f"set -eo pipefail\n{_commands(job['script'])}"]
    code, written = run_shell(shell, checkout, environment, within=min(SECONDS, 60 * int(limit[1])))
    return Ended(code != 0, written, _artifacts(job.get("artifacts", {}), checkout, failed=code != 0))


def _variables(job: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """A job's variables; those of the service lead to what stands in for it."""
    variables = dict(job.get("variables", {}))
    if strange := {value for value in variables.values() if not isinstance(value, str)}:
        raise JobError(f"{strange} are no texts, as variables are")
    if strange := [service for service in job.get("services", ()) if service != "docker:dind"]:
        raise JobError(f"nobody knows what {strange} serve")
    if "services" not in job:
        return variables
    if (told := {name: variables.get(name) for name in SERVICE}) != SERVICE:
        raise JobError(f"{told} doesn't lead to the service; {SERVICE} does")
    return variables | {"DOCKER_HOST": environment["DOCKER_HOST"]}


def _artifacts(artifacts: dict[str, Any], checkout: Path, *, failed: bool) -> tuple[Path, ...]:
    """What is kept. A path that isn't there is only warned of: what a passed job has nothing of, a failed one must."""
    _know(artifacts, "when", "paths", "reports")
    when = artifacts.get("when", "on_success")
    kept = {"always": True, "on_success": not failed, "on_failure": failed}
    if when not in kept:
        raise JobError(f"nobody knows when {when!r} is so")
    if not kept[when]:
        return ()
    reports = artifacts.get("reports", {})
    _know(reports, "junit")
    paths = [*reports.values(), *(artifacts.get("paths", ()) if failed else ())]
    return tuple(checkout / path for path in paths)


# --- Both -----------------------------------------------------------------------------------------------------------


def _know(mapping: Mapping[str, Any], *keys: str) -> None:
    if strange := [key for key in mapping if key not in keys]:
        raise JobError(f"nobody knows what {strange} mean beside {list(keys)}")


def _commands(lines: list[Any]) -> str:
    if strange := [line for line in lines if not isinstance(line, str)]:
        raise JobError(f"{', '.join(map(repr, strange))} is no command")
    return "\n".join(lines)


def _hold_version(version: Any) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if not isinstance(version, str):
        raise JobError(f"Python {version!r} is a number, of which 3.10 would be 3.1")
    if version not in SpecifierSet(project["requires-python"]):
        raise JobError(f"Lucy doesn't run on Python {version}, but on {project['requires-python']}")


def _check_out(files: Mapping[str, str], machine: Machine, checkout: Path) -> None:
    for name, text in files.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if machine.engine is not None:
        (checkout / "image.tar").write_bytes(_busybox_as(_images(files)))


def _broken(files: Mapping[str, str]) -> dict[str, str]:
    """The same project, whose tests fail at their ends."""
    tests = {name: text for name, text in files.items() if re.search(r"\btest_\w+\.py$", name)}
    if not tests:
        raise JobError("the page's project has no test")
    return {**files, **{name: f'{text}    raise AssertionError("{BROKEN}")\n' for name, text in tests.items()}}


@contextmanager
def _equipped(machine: Machine, place: Path, images: list[str]) -> Iterator[dict[str, str]]:
    """The environment of a job: that of the machine, with a Python of its own, and with a way to an Engine.

    The Engine is the machine's, so that the images which the job brings there have to go in the end.
    """
    place.mkdir(parents=True)
    environment = {**machine.environment, "CI": "true"}
    with ExitStack() as stack:
        if machine.lucy is not None:
            subprocess.run([sys.executable, "-m", "venv", place / "python"], check=True)
            constraints = place / "constraints.txt"
            constraints.write_text(f"lucy-core @ {machine.lucy.as_uri()}\n")
            environment.pop("PYTEST_ADDOPTS", None)
            environment |= {
                "PATH": f"{place / 'python/bin'}{os.pathsep}{SYSTEM_PATH}",
                "PIP_CONSTRAINT": f"{os.environ.get('PIP_CONSTRAINT', '')} {constraints}".strip(),
            }
        if machine.engine is not None:
            port = stack.enter_context(engine_over_tcp(machine.engine.removeprefix("unix://")))
            environment["DOCKER_HOST"] = f"tcp://127.0.0.1:{port}"
            remove = ["docker", "--host", machine.engine, "image", "rm", "--force", *images]
            stack.callback(subprocess.run, remove, check=False, capture_output=True)
        yield environment


def _images(files: Mapping[str, str]) -> list[str]:
    return sorted(set(IMAGE.findall("".join(files.values()))))


def _busybox_as(images: list[str]) -> bytes:
    """What `docker save` writes of images that have a shell and its tools."""

    def packed(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o755
                tar.addfile(member, io.BytesIO(content))
            for name, target in links.items():
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, target
                tar.addfile(link)
        return archive.getvalue()

    busybox = Path("/bin/busybox")
    tools = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    links = {f"bin/{tool}": "busybox" for tool in tools if tool != "busybox"}
    layer = packed({"bin/busybox": busybox.read_bytes()}, links)
    layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    config = {"architecture": machine, "os": "linux", "config": {"Env": ["PATH=/bin"]}, "rootfs": layers}
    manifest = [{"Config": "config.json", "RepoTags": images, "Layers": ["layer.tar"]}]
    documents = {"config.json": config, "manifest.json": manifest}
    return packed({"layer.tar": layer, **{name: json.dumps(it).encode() for name, it in documents.items()}}, {})


def _judge(ended: Ended, *, fails: bool) -> None:
    """Hold a job's end against what its project is."""
    if ended.failed != fails or (fails and BROKEN not in ended.written):
        raise JobError(f"it {'failed' if ended.failed else 'passed'}:\n{ended.written}")
    if missing := [path.name for path in ended.kept if not path.exists()]:
        raise JobError(f"it keeps {missing}, of which there is nothing")
    if not fails:
        return
    names = [path.name for path in ended.kept]
    if not any(path.name == "run.json" and (path.parent / "report.html").exists() for path in _contents(ended.kept)):
        raise JobError(f"the run directory isn't among what it keeps: {names}")
    reports = [ET.parse(path).getroot() for path in ended.kept if path.suffix == ".xml"]
    if not any(BROKEN in failure.get("message", "") for report in reports for failure in report.iter("failure")):
        raise JobError(f"JUnit's report isn't among what it keeps: {names}")


def _contents(kept: Iterable[Path]) -> Iterator[Path]:
    for path in kept:
        if path.suffixes[-2:] == [".tar", ".gz"]:
            (unpacked := path.with_name("unpacked")).mkdir()
            subprocess.run(["tar", "--extract", "--file", path, "--directory", unpacked], check=True)
            yield from unpacked.rglob("*")
        yield from path.rglob("*")
