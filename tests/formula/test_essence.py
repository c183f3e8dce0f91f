"""What formulas learn from a few rows of each part is what they learn from all rows."""

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.codec import Decoder, Encoder
from jaxglm.formula import Essence, essence_of, join, learn, learn_several
from jaxglm.frames import read
from jaxglm.intake.shared import sent_kinds


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = 90
    data = pd.DataFrame({
        "y": rng.poisson(2.0, n).astype(float), "x": rng.normal(size=n), "z": rng.uniform(1.0, 2.0, n),
        "f": rng.choice(list("dacb"), n), "size": rng.choice([1, 2, 5], n), "won": rng.random(n) < 0.5,
        "grade": pd.Categorical(rng.choice(["low", "mid", "top"], n), ["low", "mid", "top", "never"]),
        "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 3, n), unit="D"),
    })  # fmt: skip
    # Some levels and labels are in one part alone, and one level only where a value is missing.
    data.loc[data.index < 30, "f"] = data["f"].replace("d", "a")
    data.loc[data.index >= 30, "size"] = data["size"].replace(5, 1)
    data.loc[data.index < 30, "won"] = True
    data.loc[[7, 50], "x"] = np.nan
    data.loc[7, "f"] = "lost"
    data.loc[60, "z"] = np.nan
    return data


DATA = frame()
FORMULAS = [
    "y ~ x + f",
    "won ~ x * grade + C(size)",
    "y ~ scale(x) + f:z + poly(z, 2)",
    "y ~ bs(x, df=5) + C(f, Treatment('b')) + factor(day)",
    "y ~ cut(x, 3) + I(x^2) + offset(log(z))",
    "y ~ . - day - won",
]


def essence(texts, parts) -> Essence:
    made = []
    for part in parts:
        # A part comes in two pieces, as from a file.
        pieces = [(read(piece), {}) for piece in (part.iloc[: len(part) // 3], part.iloc[len(part) // 3 :])]
        made.append(essence_of(texts, pieces, functions=None, missing="drop"))
    sent = []
    for one in made:
        encode = Encoder(sent_kinds())
        node = encode(one)
        sent.append(Decoder(sent_kinds(), encode.arrays)(node))
    return join(sent)


@pytest.mark.parametrize("formula", FORMULAS)
def test_parts_teach_what_all_rows_do(formula):
    whole = essence([formula], [DATA.iloc[:30], DATA.iloc[30:75], DATA.iloc[:0], DATA.iloc[75:]])
    assert whole.learn([formula], None)[0].to_json() == learn(formula, read(DATA)).to_json()


def test_few_rows_are_sent():
    """One for each level, unless a function learns from values; then the columns of that function alone are whole."""
    levels = essence(["y ~ x + f + size"], [DATA.iloc[:30], DATA.iloc[30:]])
    assert len(levels.places) <= 12 and not levels.whole
    learning = essence(["y ~ x + scale(z)"], [DATA.iloc[:30], DATA.iloc[30:]])
    assert list(learning.whole) == ["z"] and learning.whole["z"].n_rows == 90
    assert learning.some["x"].n_rows == len(learning.places) == 4


def test_formulas_by_predictor_learn_from_the_same_rows():
    texts = ["y ~ x + f", "~ z + f"]
    found = essence(texts, [DATA.iloc[:30], DATA.iloc[30:]]).learn(texts, None)
    want = learn_several(texts, read(DATA), functions=None, missing="drop", extra={})
    assert [spec.to_json() for spec in found] == [spec.to_json() for spec, _ in want]


def test_what_cannot_be_learned():
    nothing = DATA.assign(x=np.nan)
    with pytest.raises(jg.DataError, match="no rows are left"):
        essence(["y ~ x"], [nothing.iloc[:30], nothing.iloc[30:]]).learn(["y ~ x"], None)
    with pytest.raises(jg.FormulaError, match="only the formula of the first"):
        essence(["y ~ x", "y ~ z"], [DATA])
    with pytest.raises(jg.DataError, match="missing"):
        essence_of(["y ~ x"], [(read(DATA), {})], functions=None, missing="raise")
