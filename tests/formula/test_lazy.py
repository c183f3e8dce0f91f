"""Plain formulas do not pay for the import of formulaic, nor for libraries that the data does not come from."""

import subprocess
import sys

CODE = """
import sys
from jaxglm.frames import read
from jaxglm.formula import FormulaSpec, learn_and_build
spec, built = learn_and_build(
    "y ~ x + C(f, Treatment('b')) + log(x) + scale(x) + ns(x, df=2) - 1",
    read({"y": [1.0, 2.0, 3.0], "x": [1.0, 2.0, 3.0], "f": list("aba")}),
)
FormulaSpec.from_json(spec.to_json()).build(read({"x": [1.0], "f": ["a"]}), response=False)
print([m for m in ("formulaic", "polars", "narwhals", "matplotlib") if m in sys.modules])
"""


def test_plain_formulas_import_little():
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == "[]"
