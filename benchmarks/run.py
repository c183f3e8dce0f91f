"""Run all benchmarks, each script in a Python of its own, and keep the result; `make bench`.

A full run is the recorded one: docs/benchmarks.json, .md and .png. A run of some scripts or at another scale goes to
build/benchmarks instead, unless --record is given.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import compare
import harness
import report
from harness import Record

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RECORDED, PARTIAL = ROOT / "docs", ROOT / "build" / "benchmarks"
NAME = "benchmarks.json"
#: Scripts that come first, in this order; the others follow by name.
ORDER = (
    "dense", "gram", "wide", "factors", "insurance", "counts", "cold", "memory", "scaling", "stream", "roofline",
)  # fmt: skip


def scripts() -> dict[str, tuple[str, str]]:
    """Name, title and description (from the docstring) of every file here that has a function ``records``."""
    found = {}
    for path in sorted(HERE.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "records" for node in tree.body):
            title, _, about = (ast.get_docstring(tree) or path.stem).partition("\n")
            found[path.stem] = title.rstrip("."), about.strip()
    names = [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]
    return {name: found[name] for name in names}


def run(script: str, scale: float, repeats: int) -> list[Record]:
    """The records of one script; it prints as it goes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "records.json"
        command = [sys.executable, str(HERE / f"{script}.py"), "--scale", repr(scale), "--repeats", str(repeats)]
        status = subprocess.run([*command, "--json", str(file)]).returncode
        made = [Record(**values) for values in json.loads(file.read_text(encoding="utf-8"))] if file.exists() else []
    # A script ends with 1 if a record says that something failed; anything else means that it did not end by itself.
    if not made or status not in (0, 1):
        made.append(harness.broken(script, f"the script ended with status {status}"))
        print(harness.line(made[-1]), flush=True)
    return made


def machine() -> dict:
    """What we run on, asked in another process: this one holds no device."""
    done = subprocess.run([sys.executable, str(HERE / "machine.py")], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure(here: dict, names: list[str], titles: dict[str, tuple[str, str]], scale: float, repeats: int) -> dict:
    """Run scripts and put everything into one document."""
    print(f"{here['cpu']}, {here['cores']} cores, {here['python']}, JAX on {here['device']}", flush=True)
    records, ran = [], {}
    for name in names:
        title, about = titles[name]
        print(f"\n{name}: {title}", flush=True)
        start = time.perf_counter()
        records += run(name, scale, repeats)
        ran[name] = {
            "title": title,
            "about": about,
            "date": here["date"],
            "commit": here["commit"],
            "seconds": round(time.perf_counter() - start, 1),
        }
    return {
        "machine": here,
        "scale": scale,
        "repeats": repeats,
        "scripts": ran,
        "records": [asdict(record) for record in records],
    }


def obstacle(old: dict, here: dict, scale: float) -> str | None:
    """Why a partial run cannot join the recorded one, if it cannot."""
    if any(old["machine"][key] != here[key] for key in ("cpu", "cores", "device")):
        return "the recorded run comes from another machine; run all scripts to record this one"
    if old["scale"] != scale:
        return f"the recorded run has --scale {old['scale']:g}; use the same, or run all scripts"
    return None


def merge(old: dict, new: dict, order: list[str]) -> dict:
    """The new document with what the old one has of scripts that were not run again."""
    known = {**old["scripts"], **new["scripts"]}
    kept = [record for record in old["records"] if record["name"].partition(".")[0] not in new["scripts"]]
    records = kept + new["records"]
    names = [name for name in order if name in known]
    return {
        **new,
        "scripts": {name: known[name] for name in names},
        "records": [record for name in names for record in records if record["name"].partition(".")[0] == name],
    }


def options(names: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help=f"scripts, with commas between them: {','.join(names)}")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full number of rows (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="counted runs of each fit (default 3)")
    parser.add_argument("--record", action="store_true", help="make this partial run part of the recorded one")
    asked = parser.parse_args()
    asked.only = [name.strip() for name in asked.only.split(",") if name.strip()]
    unknown = sorted(set(asked.only) - set(names))
    if unknown:
        parser.error(f"no such script: {', '.join(unknown)}; there are {', '.join(names)}")
    if not asked.scale > 0 or asked.repeats < 1:
        parser.error("--scale must be positive and --repeats at least 1")
    return asked


def main() -> int:
    """Run, write, and say what has changed."""
    titles = scripts()
    asked = options(list(titles))
    names = [name for name in titles if not asked.only or name in asked.only]
    into = RECORDED if asked.record or (len(names) == len(titles) and asked.scale == 1) else PARTIAL
    old = compare.load(RECORDED / NAME) if (RECORDED / NAME).exists() else None
    joins = into == RECORDED and len(names) < len(titles) and old is not None
    here = machine()
    if joins and (reason := obstacle(old, here, asked.scale)):
        # Better said before the hour of measuring than after it.
        raise SystemExit(reason)
    new = measure(here, names, titles, asked.scale, asked.repeats)
    document = merge(old, new, list(titles)) if joins else new
    into.mkdir(parents=True, exist_ok=True)
    (into / NAME).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    report.write(document, into)
    print(f"\nWritten: {into.relative_to(ROOT)}/{NAME}, .md and .png")
    if old is not None:
        print("\nAgainst the last recorded run:")
        print("\n".join(compare.changes(old, new)))
    return 1 if any(record["failed"] for record in new["records"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
