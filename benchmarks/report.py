"""Write a run as a page and a picture."""

from __future__ import annotations

from pathlib import Path

import harness
import picture
from harness import Record

#: What a reader must know before the numbers.
METHOD = """\
## How to read the tables

- **Ratio.** The other library's time over jaxglm's: 4 means that jaxglm is four times as fast, 0.5 that it takes twice
  as long. Where goals have a "≤", and where jaxglm is held against the machine itself, it is jaxglm's time or memory
  over that of the other side: small is good.
- **Floor and aim.** The floor is what jaxglm promises; a case that misses it is a fault to be mended, and says **no**
  in the last column. The aim is what the authors work toward. Cases without either are there for information.
- **First run** is the first in its process: it compiles, imports and faults in pages, and counts nowhere else.

## How this is measured

- Both fits run in turn in one process, after one run of each that is not counted. Seconds are {counted};
  the ratio is the median of the ratios of neighboring runs, so that both sides meet the same weather on the machine.
- jaxglm starts from the user's own NumPy arrays or data frame and makes standard errors. Some libraries make none;
  their times are taken as they are. Where a library needs a frame of its own kind, making it is not counted.
- Each library is asked for an accuracy at which all give the same answer; this is checked in every case (coefficients
  may differ by {agree:g} standard errors, standard errors by as much of their size). A case whose answers differ has no
  ratio.
- Libraries that would take too long get fewer rows, and seconds per row are compared; the table says how many.
- Every library uses as many threads as it takes by itself. R runs with the matrix library named below.
- The scripts were written by the authors of jaxglm, and the models are of the kinds that it was built for. Ratios move
  by some 15 % from run to run, and more from machine to machine: `make bench` measures yours.
"""
HEAD = """\
| case | n | p | jaxglm | first run | against | its figure | ratio | floor | aim | reached |
| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- |"""
REACHED = {"aim": "aim", "floor": "floor", "NO": "**no**", "-": "", "skipped": "skipped", "FAILED": "**failed**"}


def write(document: dict, folder: Path) -> None:
    """Write benchmarks.md and, where matplotlib is installed, benchmarks.png."""
    records = [Record(**values) for values in document["records"]]
    drawn = picture.draw(records, document["machine"], folder / "benchmarks.png")
    (folder / "benchmarks.md").write_text(page(document, records, drawn), encoding="utf-8")


def page(document: dict, records: list[Record], drawn: bool) -> str:
    """The page in Markdown, without Python blocks: those of docs/ are run by the tests."""
    parts = ["# Benchmarks", _summary(document, records)]
    if drawn:
        parts.append("![Ratios of all cases, with floors and aims](benchmarks.png)")
    repeats = document["repeats"]
    counted = "of one counted run" if repeats == 1 else f"medians of {repeats} counted runs"
    parts.append(METHOD.format(counted=counted, agree=harness.AGREE))
    parts.append(_machine(document["machine"]))
    for name, script in document["scripts"].items():
        parts.append(_theme(name, script, [record for record in records if record.theme == name]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _summary(document: dict, records: list[Record]) -> str:
    promised = [record for record in records if record.floor is not None and record.ratio is not None]
    kept = sum(record.reaches(record.floor) for record in promised)
    aims = [record for record in promised if record.aim is not None]
    text = (
        f"Written by `make bench`; do not edit. Of {len(promised)} measured cases with a floor, {kept} keep to it; of "
        f"{len(aims)} that have an aim too, {sum(record.reaches(record.aim) for record in aims)} reach it."
    )
    lost = sum(bool(record.failed) for record in records)
    left = sum(bool(record.skipped) for record in records)
    if lost or left:
        text += f" {lost} failed and {left} were skipped, for reasons given below their tables."
    if document["scale"] != 1:
        text += f" This is no full run: it has {document['scale']:g} times the rows, for which floors were not meant."
    return text


def _machine(machine: dict) -> str:
    versions = ", ".join(f"{name} {found or '(not installed)'}" for name, found in machine["versions"].items())
    memory = "" if machine["memory_gb"] is None else f", {machine['memory_gb']:g} GB of memory"
    lines = [
        "## Hardware and versions",
        "",
        f"- {machine['cpu']}, cores: {machine['cores']}{memory}, {machine['system']}; JAX computes on "
        f"{machine['device']}",
        f"- {machine['python']}; {versions}",
        f"- matrix products of NumPy: {machine['blas']}",
    ]
    if machine["r_blas"]:
        lines.append(f"- matrix products of R: {machine['r_blas']}")
    lines.append("- a plus sign after a commit below means that files of the library differed from it")
    return "\n".join(lines)


def _theme(name: str, script: dict, records: list[Record]) -> str:
    commit = f", commit {script['commit']}" if script["commit"] else ""
    lines = [
        f"## {script['title']}",
        "",
        f"{script['about']} (`benchmarks/{name}.py`, {script['date']}{commit})",
        "",
        HEAD,
        *map(_row, records),
        "",
        *_figures([record for record in records if record.figures]),
        *_notes(records),
    ]
    return "\n".join(lines)


def _figures(records: list[Record]) -> list[str]:
    """A second table, of the figures that are a script's own."""
    if not records:
        return []
    names = list(dict.fromkeys(name for record in records for name in record.figures))
    rows = [[record.what, *(number(record.figures.get(name)) for name in names)] for record in records]
    head = [["case", *names], ["---", *["---:"] * len(names)]]
    return [f"| {' | '.join(cells)} |" for cells in head + rows] + [""]


def _notes(records: list[Record]) -> list[str]:
    """What is to be said about each peer, once; with the case in front where a peer has several notes."""
    notes: dict[str, dict[str, str]] = {}
    for record in records:
        if record.note:
            notes.setdefault(record.peer, {}).setdefault(record.note, record.what)
    lines = [
        f"- {peer if len(of_peer) == 1 else f'{what}, {peer}'}: {note}."
        for peer, of_peer in notes.items()
        for note, what in of_peer.items()
    ]
    return lines + [f"- **{r.what}, {r.peer}**: {r.failed or r.skipped}." for r in records if r.failed or r.skipped]


def _row(record: Record) -> str:
    """One row of the table."""
    peer = f"{record.peer} {record.peer_version}".strip()
    theirs = _value(record.theirs, record.unit)
    if record.peer_n:
        theirs += f" for {record.peer_n:,} rows"
    sense = "≤ " if record.sense == "at most" else "≥ "
    cells = [
        record.what,
        f"{record.n:,}",
        f"{record.p}",
        _value(record.ours, record.unit),
        _value(record.ours_first, record.unit),
        peer,
        theirs,
        number(record.ratio),
        "" if record.floor is None else sense + number(record.floor),
        "" if record.aim is None else sense + number(record.aim),
        REACHED[record.verdict],
    ]
    return f"| {' | '.join(cells)} |"


def _value(value: float | None, unit: str) -> str:
    return "" if value is None else f"{number(value)} {unit}"


def number(value: float | None) -> str:
    """Three digits, never an exponent."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
