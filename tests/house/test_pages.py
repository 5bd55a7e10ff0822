"""The pages in `docs`: what stands in them runs, and prints what they say that it prints."""

import subprocess
import sys
from pathlib import Path

import pytest
from pages import PageError, blocks_of, needs_of, run_page
from places import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(page.relative_to(DOCS) for page in DOCS.rglob("*.md") if "reference" not in page.parts)
FIXTURES = {"registry": "registry", "docker": "docker_engine"}


def page_of_docs(page: Path):
    return pytest.param(
        page, id=str(page), marks=[getattr(pytest.mark, need) for need in sorted(needs_of(DOCS / page))]
    )


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry that has what Lucy needs. Given as Lucy's wheel, which is the one thing that it need not have."""
    place = tmp_path_factory.mktemp("registry")
    build = "import sys, hatchling.build; hatchling.build.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, place], cwd=REPOSITORY, check=True)
    (wheel,) = place.glob("*.whl")
    asked = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", wheel, "pytest", "setuptools"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=100, check=False)
    if answer.returncode:
        pytest.skip(f"no package registry that has what Lucy needs: {answer.stderr.strip().splitlines()[-1]}")
    return str(wheel)


@pytest.mark.slow
@pytest.mark.timeout(600)  # each block has a limit of its own
@pytest.mark.parametrize("page", tuple(map(page_of_docs, PAGES)))
def test_a_page_runs_as_it_stands(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    had, lacking = {}, []
    for need in sorted(needs_of(DOCS / page)):
        try:
            had[need] = request.getfixturevalue(FIXTURES[need])
        except pytest.skip.Exception as skipped:
            lacking.append(str(skipped))

    run_page(DOCS / page, tmp_path, had)

    if lacking:
        pytest.skip(f"some blocks were left out, all others run: {'; '.join(lacking)}")


def block(language: str, text: str, note: str = "") -> str:
    return f"{f'<!-- {note} -->{chr(10)}' if note else ''}```{language}\n{text}\n```\n"


def registered(group: str, point: str) -> str:
    module = "class Its: pass\nclass broken:\n    def __init__(self): 1 / 0"
    return block('python title="it.py"', module) + block("toml", f"[project.entry-points.'{group}']\nit = '{point}'")


def of_ci(system: str, old: str, new: str) -> str:
    """The page on CI: its test, and its first job on a system with something else in it, and nothing to install."""
    blocks = list(blocks_of((DOCS / "how-to/ci.md").read_text(encoding="utf-8")))
    test = next(each for each in blocks if each.language == "python")
    job = next(each for each in blocks if system in str(each.title))
    text = job.text.replace("pip install -e '.[test]'", "echo installed")
    assert old in text
    changed = block(f'yaml title="{job.title}"', text.replace(old, new))
    return block(f'python title="{test.title}"', test.text) + changed + block("text", f"It runs {test.title}.")


@pytest.mark.parametrize(
    ("text", "complaint"),
    (
        pytest.param(block("python", "1 / 0"), "ZeroDivisionError", id="a block raises"),
        pytest.param(block("python", "import asyncio\nawait asyncio.sleep(x)"), "NameError", id="what it awaits does"),
        pytest.param(block("sh", "false"), "ended with 1", id="a command fails"),
        pytest.param(block("sh", "true", "exits 1"), "not with 1", id="one doesn't that should"),
        pytest.param(
            block("sh", "echo yes") + block("text", "no", "prints"), "not what is printed", id="another is printed"
        ),
        pytest.param(block("text", "no", "prints"), "not what is printed", id="nothing is printed"),
        pytest.param(block('python title="test_it.py"', "x = 1"), "nothing runs", id="nobody runs a file"),
        pytest.param(block('python title="it.py"', "x ="), "can't be read", id="a file is no Python"),
        pytest.param(block("yaml", "a: [1"), "can't be read", id="it is no YAML"),
        pytest.param(block("toml", "a"), "can't be read", id="it is no TOML"),
        pytest.param(block("json", "{"), "can't be read", id="it is no JSON"),
        pytest.param(block("json", "{}"), "nothing runs it", id="nobody runs it"),
        pytest.param(block("toml", "[project]\nname = 'a'"), "nothing runs it", id="nobody runs a project"),
        pytest.param(registered("lucy.formats", "it:Mine"), "no attribute 'Mine'", id="what it registers isn't there"),
        pytest.param(registered("lucy.format", "it:Its"), "'lucy.format' is not a valid", id="nobody asks there"),
        pytest.param(registered("lucy.formats", "it:broken"), "ZeroDivisionError", id="it can't be made"),
        pytest.param(block("bash", "true"), "nobody knows how", id="a language of its own"),
        pytest.param(block("", "true"), "nobody knows how", id="no language"),
        pytest.param(block("python hl_lines=1", "x = 1"), "no way to begin", id="a word that nobody knows"),
        pytest.param(block("sh", "rm -rf x", "needs registry"), "could run anywhere", id="a need that is none"),
        pytest.param(block("sh", "true", "needs luck"), "nobody knows", id="a need that nobody knows"),
        pytest.param(block("sh", "true", "run by tests/places.py"), "doesn't know", id="a test that runs it not"),
        pytest.param(block("sh", "cd project/../nowhere"), "No such file", id="a directory that isn't there"),
        pytest.param(block("sh", "true", "needs docker"), "could run anywhere", id="another need that is none"),
        pytest.param("<!-- prints -->\n\ntext\n", "before no block", id="a note of nothing"),
        pytest.param(of_ci("github", "steps:", "step:"), r"'step'\] mean", id="a job has no such key"),
        pytest.param(of_ci("github", "jobs:", "job:"), r"'job'\] mean", id="a workflow has no such key"),
        pytest.param(of_ci("github", "[push,", "[pushed,"), "when .*pushed", id="no such event"),
        pytest.param(of_ci("github", "ubuntu-latest", "ubuntu"), "what runs on 'ubuntu'", id="no such machine"),
        pytest.param(of_ci("github", "checkout@v4", "check-out@v4"), "check-out@v4' does", id="no such action"),
        pytest.param(of_ci("github", "python@v5", "python"), "has no version", id="an action of no version"),
        pytest.param(of_ci("github", '"3.13"', "3.13"), "is a number", id="a version that is a number"),
        pytest.param(of_ci("github", "3.13", "3.10"), "doesn't run on Python 3.10", id="a Python that is too old"),
        pytest.param(of_ci("github", "- uses: actions/checkout@v4", ""), "no tests ran", id="no checkout"),
        pytest.param(of_ci("github", "failure()", "failed()"), "when 'failed", id="no such condition"),
        pytest.param(of_ci("github", "echo installed", "true"), "True is no command", id="a step that is no text"),
        pytest.param(of_ci("github", "run: pytest", "run: false; pytest"), "'false.*ended with 1", id="a step fails"),
        pytest.param(of_ci("github", "unit.xml\n", "unit.xml || true\n"), "it passed", id="a step hides a failure"),
        pytest.param(of_ci("github", ".gz lucy-runs", ".gz runs"), "behind one.*tar: runs", id="a later step fails"),
        pytest.param(of_ci("github", "            junit.xml", "            j.xml"), "'j.xml'", id="a path of nothing"),
        pytest.param(of_ci("github", "            junit.xml", ""), "JUnit's report isn't", id="a report isn't kept"),
        pytest.param(of_ci("github", ".gz lucy-runs", ".gz junit.xml"), "run directory isn't", id="an empty archive"),
        pytest.param(of_ci("gitlab", "timeout", "extends: net\n  timeout"), "'net', which", id="no job to extend"),
        pytest.param(
            of_ci(
                "gitlab",
                "  script:",
                "  services: [docker:dind]\n  variables: {DOCKER_HOST: tcp://engine:2375}\n  script:",
            ),
            "tcp://engine:2375.* doesn't lead",
            id="a service is elsewhere",
        ),
        pytest.param(of_ci("gitlab", "  script:", "  services: [dind]\n  script:"), "'dind'", id="no such service"),
        pytest.param(
            of_ci("gitlab", "  script:", "  variables: {N: 2}\n  script:"),
            r"\{2\} are no texts",
            id="a number as a variable",
        ),
        pytest.param(of_ci("gitlab", "script:", "scripts:"), r"'scripts'\] mean", id="a key that GitLab hasn't"),
        pytest.param(of_ci("gitlab", "python:3.13", "ruby:3.13"), "what image", id="no such image"),
        pytest.param(of_ci("gitlab", "20 minutes", "20"), "how long", id="a limit of no unit"),
        pytest.param(
            of_ci("gitlab", "- echo installed", "- set -u\n    - $NOTHING"), "it failed", id="a line of a script fails"
        ),
        pytest.param(of_ci("gitlab", "echo installed", "cd tests"), r"keeps \['junit.xml", id="lines are in one shell"),
        pytest.param(of_ci("gitlab", "echo installed", "true"), "True is no command", id="what is no text to YAML"),
        pytest.param(of_ci("gitlab", "when: always", "when: ever"), "when 'ever' is so", id="no such time"),
        pytest.param(of_ci("gitlab", "when: always", "when: on_success"), "run directory isn't", id="nothing is kept"),
        pytest.param(of_ci("gitlab", "      - lucy-runs", "      - runs"), "'runs'", id="an artifact of nothing"),
    ),
)
def test_a_page_that_says_what_is_not_so_is_found(text: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page-of-a-test.md"
    page.write_text(text)
    (tmp_path / "empty").mkdir()

    with pytest.raises(PageError, match=f"(?s){complaint}"):
        run_page(page, tmp_path / "empty")


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.parametrize(
    ("page", "old", "new", "complaint"),
    (
        pytest.param("how-to/ci.md", '"lucy-core", ', "", "arguments: --lucy-run-dir", id="an extra without Lucy"),
        pytest.param("tutorial.md", "../lucy pytest", "../lucid pytest", "'../lucid'", id="no such directory"),
    ),
)
def test_an_installation_that_installs_too_little_is_found(
    page: str, old: str, new: str, complaint: str, tmp_path: Path, registry: str
) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "page.md").write_text(text.replace(old, new))
    (tmp_path / "empty").mkdir()

    with pytest.raises(PageError, match=f"(?s){complaint}"):
        run_page(tmp_path / "page.md", tmp_path / "empty", {"registry": registry})


def test_what_a_page_does_not_install_is_not_there(tmp_path: Path) -> None:
    page = tmp_path / "page-of-a-test.md"
    page.write_text(
        block("sh", "python3 -m venv --without-pip .venv\n. .venv/bin/activate  # no pip install", "needs registry")
        + block("sh", "command -v python\ncommand -v lucy || command -v pytest", "exits 1")
        + block("text", "project/.venv/bin/python", "prints")
        + block(
            "python", "import sys\nprint(sys.prefix)\ntry:\n    import lucy_core\nexcept ImportError as e: print(e)"
        )
        + block("text", "project/.venv\nNo module named 'lucy_core'", "prints")
    )
    (tmp_path / "empty").mkdir()

    run_page(page, tmp_path / "empty", {"registry": "none"})


def test_what_a_page_needs_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page-of-a-test.md"
    page.write_text(
        block("sh", "pip install lucy-core; touch a", "needs registry") + block("sh", "touch b; test ! -e a")
    )
    (tmp_path / "empty").mkdir()

    assert needs_of(page) == {"registry"}
    run_page(page, tmp_path / "empty")

    assert [path.name for path in (tmp_path / "empty/project").iterdir()] == ["b"]


def test_a_page_is_run_as_a_reader_would(tmp_path: Path) -> None:
    page = tmp_path / "page-of-a-test.md"
    page.write_text(
        registered("lucy.formats", "it:Its")
        + block('python title="it.py"', "def double(number):\n    return 2 * number")
        + block("python", "import it\nimport asyncio\nawait asyncio.sleep(0)\nprint('four is', it.double(2))")
        + block("text", "… is 4", "prints")
        + block("sh", "python -c 'import it; print(it.double(3))'; exit 3", "exits 3")
        + block("text", "6", "prints")
        + block('yaml title="it.yaml"', "a: 1")
        + block("sh", "cat it.yaml")
        + block("text", "a: 1", "prints")
        + block("text", "anything at all")
        + block("sh", "python3 -m venv --without-pip new\n. new/bin/activate\nexport A=1\nB=2\nfalse", "exits 1")
        + block("sh", "command -v python\necho $A${B:-}. ../*/README.md")
        + block("text", "project/new/bin/python\n1. ../lucy/README.md", "prints")
    )
    (tmp_path / "empty").mkdir()

    run_page(page, tmp_path / "empty")
