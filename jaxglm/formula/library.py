"""All that a formula may call, and what its fixed names stand for."""

from __future__ import annotations

import numpy as np

from jaxglm.errors import FormulaError
from jaxglm.formula.functions import ELEMENTWISE, Call, Function
from jaxglm.formula.transforms import LEARNING
from jaxglm.formula.values import Contrast, Value


def _contrast(kind: str, *params: str) -> Function:
    def run(call: Call, **options: Value) -> Contrast:
        return Contrast(kind, options)

    return Function(params, run)


_CONTRASTS = [
    ("", "Treatment", "treatment", "reference"),
    ("", "Sum", "sum"),
    ("", "Helmert", "helmert", "reverse", "scale"),
    ("", "Poly", "poly", "scores"),
    ("", "Diff", "diff", "backward"),
    ("", "SAS", "sas", "base"),
    ("contr.", "treatment", "treatment", "base"),
    ("contr.", "sum", "sum"),
    ("contr.", "helmert", "helmert", "reverse", "scale"),
    ("contr.", "poly", "poly", "scores"),
    ("contr.", "diff", "diff", "backward"),
    ("contr.", "SAS", "sas", "base"),
    ("contr.", "custom", "custom", "contrasts", "names"),
]

#: Names that stand for a fixed value where the data has no column of that name.
CONSTANTS: dict[str, Value] = {
    "TRUE": True,
    "FALSE": False,
    "NULL": None,
    "pi": float(np.pi),
    "np.pi": float(np.pi),
    "np.e": float(np.e),
} | {f"{prefix}{name}": Contrast(kind) for prefix, name, kind, *_ in _CONTRASTS if kind != "custom"}

_STREAM = "It needs other rows than its own; compute the column before the fit."
#: What to do instead of some functions that people try.
HINTS = {
    "mean": "A learned mean is subtracted by center(x).",
    "std": "Use scale(x), which centers and divides by the standard deviation.",
    "sd": "Use scale(x), which centers and divides by the standard deviation.",
    "lag": _STREAM,
    "shift": _STREAM,
    "diff": _STREAM,
    "cumsum": _STREAM,
    "rank": _STREAM,
    "hashed": "Use C(f): factors stay codes here, however many levels they have.",
    "s": "Penalized smooth terms are not available; use cr(x, df=...) or ns(x, df=...).",
    "te": "Penalized smooth terms are not available; use bs(x, df=...):bs(z, df=...).",
    "exposure": "Give exposure= to the fit, or write offset(log(t)).",
    "log1": "Use log1p(x).",
    "exp10": "Write 10**x inside I(), as in I(10**x).",
    "interaction": "Write f:g.",
}


def _quoted(call: Call, x: Value) -> Value:
    raise FormulaError(f"{call.text}: Q() takes the name of a column as text, as in Q('my column').")


FUNCTIONS: dict[str, Function] = {
    **ELEMENTWISE,
    **LEARNING,
    **{f"{prefix}{name}": _contrast(kind, *params) for prefix, name, kind, *params in _CONTRASTS},
    "Q": Function(("x",), _quoted),
}
