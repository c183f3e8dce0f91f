"""Write the files of tests/reference/saved for the present version of the format.

Run it once when the version changes, and keep all that earlier versions wrote:

    PYTHONPATH=. python tests/reference/make_saved.py
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "unit"))

import numpy as np  # noqa: E402
import saved_models  # noqa: E402

from jaxglm.results import storage  # noqa: E402

CHOSEN = ("splines", "joint", "student", "known alpha", "mixed")


def plain(value):
    return value.to_dict("list") if hasattr(value, "to_dict") else np.asarray(value).tolist()


def main():
    folder = HERE / "saved"
    folder.mkdir(exist_ok=True)
    for name in CHOSEN:
        case = saved_models.CASES[name]
        res = case.fit()
        path = folder / f"v{storage.VERSION}-{name.replace(' ', '_')}.jaxglm"
        res.save(path)
        # With the new data, which random numbers of another NumPy would not give again.
        numbers = {
            "new": {key: plain(value) for key, value in case.new.items()},
            "names": list(map(str, res.params.index)),
            "params": res.params.tolist(),
            "bse": res.bse.tolist(),
            "llf": [res.llf],
            "mean": res.predict(**case.new).tolist(),
            "se": res.get_prediction(**case.new).se.tolist(),
        }
        path.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
