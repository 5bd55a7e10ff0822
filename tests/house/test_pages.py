"""The pages in `docs`: what stands in them runs, and prints what they say that it prints."""

from pathlib import Path

import pytest
from pages import PageError, run_page
from places import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(page.relative_to(DOCS) for page in DOCS.rglob("*.md") if "reference" not in page.parts)


@pytest.mark.slow
@pytest.mark.timeout(300)  # each block has a limit of its own
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_runs_as_it_stands(page: Path, tmp_path: Path) -> None:
    run_page(DOCS / page, tmp_path)


def block(language: str, text: str, note: str = "") -> str:
    return f"{f'<!-- {note} -->{chr(10)}' if note else ''}```{language}\n{text}\n```\n"


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
        pytest.param(block("bash", "true"), "nobody knows how", id="a language of its own"),
        pytest.param(block("", "true"), "nobody knows how", id="no language"),
        pytest.param(block("python hl_lines=1", "x = 1"), "no way to begin", id="a word that nobody knows"),
        pytest.param(block("sh", "rm -rf x", "needs registry"), "could run", id="a need that is none"),
        pytest.param(block("sh", "true", "needs luck"), "nobody knows", id="a need that nobody knows"),
        pytest.param(block("sh", "true", "run by tests/places.py"), "doesn't know", id="a test that runs it not"),
        pytest.param("<!-- prints -->\n\ntext\n", "before no block", id="a note of nothing"),
    ),
)
def test_a_page_that_says_what_is_not_so_is_found(text: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page-of-a-test.md"
    page.write_text(text)
    (tmp_path / "empty").mkdir()

    with pytest.raises(PageError, match=complaint):
        run_page(page, tmp_path / "empty")


def test_a_page_is_run_as_a_reader_would(tmp_path: Path) -> None:
    page = tmp_path / "page-of-a-test.md"
    page.write_text(
        block('python title="it.py"', "def double(number):\n    return 2 * number")
        + block("python", "import it\nimport asyncio\nawait asyncio.sleep(0)\nprint('four is', it.double(2))")
        + block("text", "… is 4", "prints")
        + block("sh", "python -c 'import it; print(it.double(3))'; exit 3", "exits 3")
        + block("text", "6", "prints")
        + block("yaml", "a: 1")
        + block("text", "anything at all")
        + block("sh", "pip install lucy-core", "needs registry")
    )
    (tmp_path / "empty").mkdir()

    run_page(page, tmp_path / "empty")
