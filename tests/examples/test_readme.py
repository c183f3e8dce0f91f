"""The code in README.md and docs/ runs, and prints what the text says it prints."""

import re
import warnings
from pathlib import Path

import pytest

import jaxglm as jg
from jaxglm import families, links

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


#: Counts that a better solver may change without the text being wrong.
COUNTS = re.compile(r"\d+ iterations *")


def lines(text: str) -> list[str]:
    """Lines without what may differ."""
    return [COUNTS.sub("iterations ", line).rstrip() for line in text.splitlines()]


def blocks(page: Path) -> list[tuple[int, str, str | None]]:
    """Line, code and (if a text block comes next, with nothing between) output of every python block."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    made = []
    for i, match in enumerate(found):
        if match[1] != "python":
            continue
        after = found[i + 1] if i + 1 < len(found) else None
        shown = after is not None and after[1] == "text" and not text[match.end() : after.start()].strip()
        made.append((text.count("\n", 0, match.start()) + 1, match[2], after[2] if shown else None))
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_blocks_run(page, tmp_path, monkeypatch, capsys):
    """Blocks of a page share their names, as a reader who types them in order would find."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for line, code, output in blocks(page):
        capsys.readouterr()
        with warnings.catch_warnings():
            # Some blocks show what our own warnings look like.
            warnings.simplefilter("default", jg.JaxglmWarning)
            # Empty lines put the line of the page into tracebacks.
            exec(compile("\n" * line + code, str(page), "exec"), names)
        printed = capsys.readouterr().out
        if output is not None:
            assert lines(printed) == lines(output), f"{page.name}, line {line}, prints:\n{printed}"


def test_pages_have_code():
    assert blocks(ROOT / "README.md")


@pytest.mark.parametrize("name", [*families.NAMED, *links.NAMED])
def test_readme_names_every_family_and_link(name):
    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")
