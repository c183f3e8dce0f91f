"""Every file of examples/ runs, prints what it should, and leaves its picture."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

#: For each example: parts of its output (blanks and line breaks do not count), and the files it must leave.
EXPECTED = {
    "attrition.py": (
        [
            "500 simulated employees: 24 left (4.8%); sick days range from 0 to 16 with mean 6.8.",
            "overtime_hours 0.19571 0.082364 2.376 0.0175 0.034280 0.35714 *",
            "overtime_hours 0.024094 0.0067160 3.588 0.0003 0.010931 0.037258 ***",
            "- 5 more overtime hours: odds times 2.66",
            "- 5 more overtime hours: sick days times 1.13",
            "Pearson chi2 / df = 1.045",
            "26 of 500 predicted",
            "Poisson 2388.2, Gaussian 2403.0",
        ],
        ["attrition.png"],
    ),
}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example_runs(path, tmp_path):
    assert path.name in EXPECTED, f"say in EXPECTED what {path.name} should print and save"
    lines, files = EXPECTED[path.name]
    before = os.environ.get("PYTHONPATH")
    env = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), before]))}
    command = [sys.executable, "-W", "error", str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    output = " ".join(done.stdout.split())
    for line in lines:
        assert line in output, f"{line!r} is not in the output:\n{done.stdout}"
    assert len(done.stdout.splitlines()) <= 120
    for name in files:
        made = tmp_path / "out" / name
        assert made.read_bytes().startswith(PNG)
        assert made.stat().st_size > 10_000, "the picture is all but empty"


def test_employees_are_those_of_the_reference():
    spec = importlib.util.spec_from_file_location("attrition", ROOT / "examples" / "attrition.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    state = np.random.get_state()
    try:
        made = module.employees()
    finally:
        np.random.set_state(state)
    reference = pd.read_csv(ROOT / "tests" / "reference" / "r" / "data" / "employees.csv")
    pd.testing.assert_frame_equal(made, reference)
