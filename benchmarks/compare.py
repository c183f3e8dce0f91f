"""Show how each case has changed against the recorded run.

python benchmarks/compare.py               the last partial run against docs/benchmarks.json
python benchmarks/compare.py NEW           a file against docs/benchmarks.json
python benchmarks/compare.py OLD NEW       one file against another
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "docs" / "benchmarks.json"
PARTIAL = ROOT / "build" / "benchmarks" / "benchmarks.json"
#: Changes of a ratio below this share may be noise.
NOISE = 0.15


def load(path: Path) -> dict:
    """A document that run.py has written."""
    return json.loads(path.read_text(encoding="utf-8"))


def changes(old: dict, new: dict, noise: float = NOISE) -> list[str]:
    """One line for each case of the new run.

    The ratio decides, since both sides of it have met the same machine on the same day; seconds are shown beside it.
    """
    before = {record["name"]: record for record in old["records"]}
    head = f"{'case':<34}{'jaxglm':>22}{'change':>9}{'ratio':>20}{'change':>9}"
    return [head, "-" * len(head), *(_line(before.get(r["name"]), r, noise) for r in new["records"])]


def _line(old: dict | None, new: dict, noise: float) -> str:
    start = f"{new['name']:<34}"
    if old is None:
        return f"{start}  new"
    if (old["n"], old["p"]) != (new["n"], new["p"]):
        return f"{start}  not comparable: {old['n']:,} x {old['p']} before, {new['n']:,} x {new['p']} now"
    if old["ratio"] is None or new["ratio"] is None:
        return f"{start}  {_state(old)} before, {_state(new)} now"
    better = new["ratio"] / old["ratio"]
    if new["sense"] == "at most":
        better = 1 / better
    flag = "" if 1 / (1 + noise) <= better <= 1 + noise else "  BETTER" if better > 1 else "  WORSE"
    unit = new["unit"]
    return (
        f"{start}{old['ours']:>9.3g} -> {new['ours']:.3g} {unit:<3}".ljust(56)
        + f"{_percent(old['ours'], new['ours']):>9}"
        + f"{old['ratio']:>9.3g} -> {new['ratio']:<7.3g}"
        + f"{_percent(old['ratio'], new['ratio']):>9}{flag}"
    )


def _percent(old: float, new: float) -> str:
    return f"{100 * (new / old - 1):+.0f} %" if old else "-"


def _state(record: dict) -> str:
    if record["ratio"] is not None:
        return f"ratio {record['ratio']:.3g}"
    return f"failed ({record['failed']})" if record["failed"] else f"skipped ({record['skipped']})"


def main() -> int:
    """Compare two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--noise", type=float, default=NOISE, help=f"share of a ratio that is noise ({NOISE:g})")
    asked = parser.parse_args()
    if len(asked.files) > 2:
        parser.error("give at most two files")
    old, new = asked.files if len(asked.files) == 2 else (RECORDED, *(asked.files or [PARTIAL]))
    for path in (old, new):
        if not path.exists():
            parser.error(f"there is no {path}; benchmarks/run.py writes such files")
    print("\n".join(changes(load(old), load(new), asked.noise)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
