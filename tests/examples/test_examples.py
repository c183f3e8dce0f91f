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
    "counts.py": (
        [
            "1495 stays in hospital: 1 to 116 days, mean 9.9.",
            "y holds whole numbers from 0 up: poisson, negative_binomial, quasipoisson.",
            "emergency 96 18.2 424.9",
            "Pearson chi2 / df = 6.26",
            "with phi = 6.26 estimated.",
            "type[T.emergency] 2.0262 0.15399 9.292 <1e-16 1.7458 2.3516 ***",
            "alpha 0.44576 0.019816 0.40856 0.48634",
            "stay 2.03 times as long as the elective one (95% interval 1.75 to 2.35).",
            "AIC: Poisson 13868, negative binomial 9607;",
            "emergency 0.883 0.669 1.165",
            "AIC falls from 9607 to 9580",
            "Variance = phi x mean^1.5, phi = 1.91.",
            "Poisson -0.0715 0.0239 0.0028 0.7095 0.0261",
            "quasi-Poisson -0.0715 0.0599 0.2326 0.7095 0.0654",
            "negative binomial -0.0680 0.0532 0.2016 0.7062 0.0760",
            "observed 0.0% 2.4% 116",
            "negative binomial 2.5% 2.2% 66 0.00 0.99",
        ],
        ["counts.png"],
    ),
    "custom_likelihood.py": (
        [
            "800 simulated patients, followed for 6 years: 611 relapses, the others censored.",
            "log_shape 0.41223 0.034848 11.829 <1e-16 0.34393 0.48053 ***",
            "log_scale Intercept 2.50 2.6138 0.1416 2.3363 2.8913 treated 0.50 0.4810 0.0610 0.3615 0.6005",
            "5 of 5 intervals hold the truth.",
            "log-likelihood at the estimates is -1430.8369, llf is -1430.8369.",
            "0.1416, 0.06097, 0.002273, 0.04326, 0.07039; those above are 0.1416, 0.06097, 0.002273, 0.04326, 0.07039.",
            "not treated 3.287 0.099 3.093 3.480 3.281",
            "df = 3 2.0331 0.0620 -724.7485",
            "AIC 9514.8 instead of 9607.0, alpha 0.548 instead of 0.446;",
            "- branch: nll fails for one row (TracerBoolConversionError",
            "- unnamed: nll: aux['weight'] is read but not there;",
            "is -0.691 by autodiff but -0.73246 by differences;",
            "- hidden_nan: nll is finite at y = 1, eta = [0.0], but its derivatives are not",
        ],
        [],
    ),
    "inference.py": (
        [
            "872 married women in Switzerland, 1981; 46% are in the labor force.",
            "two or more 40 20 0.15 0.45",
            "curvature problem 4 columns; most in age: chi2 30, adjusted p = 1.7e-07.",
            "Likelihood ratio test: chi2(1) = 30.6, p = 3.1e-08; AIC 1057.6, now 1029.0;",
            "A spline beside the parabola: p = 0.77.",
            "most in age (p = 0.023), but p = 0.12 for the best of 5.",
            "old -0.045 0.55 -0.25 0.004",
            "highest at 34.3 years (standard error 1.5, by the delta method).",
            "young[T.two or more] 0.109 0.0515 0.222 2.54e-09 0.0529 0.227",
            "Wald chi2(3) = 57.0, p = 3e-12.",
            "one - none -0.3069 0.0403 -0.3860 -0.2279",
            "more of them 8 further (-1 to 18)",
            "one 0.18 (0.12 to 0.24) 0.40 (0.29 to 0.50)",
            "Sandwich (HC3) over plain standard errors: 0.97 (age) to 1.03 (old)",
            "415 1 10.820 4 61.0 none 0 no 0.059 0.013",
            "moves by 0.9 standard errors (odds ratio 0.11, then 0.078), the next by 0.3:",
            "one 0.290 0.209 0.388 17 to 43",
            "with one it is 18% instead of 49% of Swiss and 40% instead of 73% of foreign women,",
        ],
        ["inference_effects.png", "inference_checks.png"],
    ),
    "differentiable.py": (
        [
            "stay 1451 116 -0.05710 -0.05949 1465 91 -0.03477 -0.03695",
            "emergency coefficient (0.7062);",
            "evenly spaced steps -2.6481 0.1521 learned steps -2.7754 0.0260",
            "0 1.000000 3.247262 0.000322 1 0.367879 3.247443 -0.000599",
            "Without a penalty the loss is 3.24929, without hospitals 3.26653, at the best ridge of 0.74 it is 3.24721.",
        ],
        [],
    ),
    "insurance.py": (
        [
            "60,000 simulated policies with 8 factors of 299 levels: 44,941 years of exposure, 3,845 claims.",
            "from 0.044 (class 5) to 0.152 (class 24)",
            "fuel[T.petrol] 0.91688 0.034645 -2.296 0.0216 0.85144 0.98737 *",
            "... and 289 more rows",
            "Pearson chi2 / df = 1.024.",
            "they put alpha at -0.099 with standard error 0.071, and Poisson has 0. Both are what Poisson counts give",
            "3,686 policies with 3,845 claims;",
            "The estimated scale, 0.948,",
            "frequency severity both Tweedie driver_age 18 1.56 (1.24 to 1.98) 1.17 (0.92 to 1.48) 1.83 (1.31 to 2.55)",
            "area C 1.00 (base) 1.00 (base) 1.00 (base) 1.00 (base)",
            "Tweedie's intervals are 1.03 times as wide",
            "frequency x severity is +0.60% off what was paid, Tweedie +0.65%.",
            "Claims observed / expected: 0.989 (95% interval 0.927 to 1.054).",
            "such intervals hold 1 in 93% of 299 levels;",
            "claims expected 37 49 58 67 77 88 101 120 149 223",
            "Slope of the log frequency in its prediction: 0.812 (95% interval 0.703 to 0.922).",
            "0.323 for frequency x severity, 0.327 for Tweedie",
            "expected from to frequency 0.0980 0.0562 0.1709 severity 1,295 740 2,266",
            "frequency x severity 127 58 279 Tweedie 133 59 302",
        ],
        ["insurance_tariff.png", "insurance_check.png"],
    ),
    "bigger_than_memory.py": (
        [
            "10 files with 100,000 parcels,",
            "1 sample,",
            "of 1,500 MB allowed.",
            "The largest error is",
        ],
        [],
    ),
    "multihost.py": (
        [
            "process 0: 20,000 rows of 40,000",
            "process 1: 20,000 rows of 40,000",
            "Covariance: HC1, expected information",
            "region[T.south]",
        ],
        [],
    ),
    "thousand_stores.py": (
        [
            "log(price) 998 -3.3492 -2.1421 -1.8201 -1.4833",
            "999 of 1,000 groups fitted, 101,412 rows.",
            "3 SEPARATED",
            "log(price) -2.3940 0.23298 -10.276",
            "95 % intervals that hold the true elasticity: 0.952",
        ],
        ["thousand_stores.png"],
    ),
}
#: What else is said to an example.
ARGUMENTS = {
    "bigger_than_memory.py": ["--megabytes", "4", "--limit", "1500"],
    "insurance.py": ["--policies", "60000"],
}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example_runs(path, tmp_path):
    assert path.name in EXPECTED, f"say in EXPECTED what {path.name} should print and save"
    lines, files = EXPECTED[path.name]
    before = os.environ.get("PYTHONPATH")
    env = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), before]))}
    command = [sys.executable, "-W", "error", str(path), str(tmp_path / "out"), *ARGUMENTS.get(path.name, [])]
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


@pytest.mark.parametrize("name", ["medpar.csv", "swisslabor.csv"])
def test_data_is_that_of_the_reference(name):
    reference = ROOT / "tests" / "reference" / "shared" / "data" / name
    assert (ROOT / "examples" / "data" / name).read_bytes() == reference.read_bytes()


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
