"""Tables of several fits hold their numbers, and every rendering escapes what its format would eat."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.errors import InputError, InputTypeError
from jaxglm.results.render import Grid
from jaxglm.results.summary import number

N = 60
rng = np.random.default_rng(4)
DATA = pd.DataFrame({"x_1": rng.normal(size=N), "z": rng.uniform(size=N), "f": rng.choice(["a", "b|c", "50%"], N)})
DATA["k"] = rng.poisson(np.exp(0.5 + 0.8 * DATA["x_1"]))
DATA["twice"] = 2 * DATA["x_1"]


@pytest.fixture(scope="module")
def fits():
    with pytest.warns(jg.AliasWarning):
        aliased = jg.glm("k ~ z + x_1 + twice", DATA[:50], family="quasipoisson")
    return jg.glm("k ~ x_1", DATA, family="poisson"), jg.glm("k ~ x_1 + f", DATA, family="poisson"), aliased


def cells(text):
    """Cells of the lines of a text, by their label; lines under an estimate belong to it."""
    found, label = {}, ""
    for line in text.split("\n"):
        parts = re.split(r" {2,}", line.strip())
        label = parts[0] if not line.startswith(" ") else label
        found.setdefault(label, []).append(parts)
    return found


def test_the_frame_holds_every_number(fits):
    table = jg.compare(*fits)
    assert list(table.frame.index) == ["Intercept", "x_1", "f[T.a]", "f[T.b|c]", "z", "twice"]
    assert list(table.figures.columns) == ["(1)", "(2)", "(3)"]
    for name, res in zip(table.figures.columns, fits, strict=True):
        there = table.frame[name].loc[list(res.params.index)]
        for column, want in (("estimate", res.params), ("std_error", res.bse), ("p_value", res.pvalues)):
            np.testing.assert_array_equal(there[column], want)
        assert table.frame[name].drop(list(res.params.index)).isna().all(axis=None)
        want = [res.nobs, res.df_resid, res.llf, res.aic, res.bic, res.deviance, res.scale, res.pseudo_rsquared()]
        np.testing.assert_array_equal(table.figures[name], want)
    assert list(table.facts.loc["Family"]) == ["poisson", "poisson", "quasipoisson"]


def test_text(fits):
    table = jg.compare(*fits, names=["one", "two", "three"], stars=True)
    found = cells(str(table))
    assert found["x_1"][0][1].startswith(f"{fits[0].params['x_1']:.5f}"[:6]) and found["x_1"][0][1].endswith("***")
    assert found["x_1"][1][0] == f"({number(fits[0].bse['x_1'])})"
    assert found["twice"][0] == ["twice", "aliased"]
    assert found["Observations"][0] == ["Observations", "60", "60", "50"]
    assert "Different numbers of observations (60, 50)" in " ".join(str(table).split())
    # Digits stand in line: stars come after the column of numbers.
    lines = [line for line in str(table).split("\n") if line.startswith(("Intercept", "x_1"))]
    assert len({line.index(".", 10) for line in lines}) == 1
    assert "Different" not in str(jg.compare(*fits[:2]))
    assert repr(table) == str(table)


@pytest.mark.parametrize(("stat", "start"), [("se", "("), ("ci", "["), ("t", "(")])
def test_what_stands_under_an_estimate(fits, stat, start):
    res = fits[0]
    under = cells(str(jg.compare(res, stat=stat, alpha=0.1)))["x_1"][1][0]
    want = {
        "se": [res.bse["x_1"]],
        "ci": res.conf_int(0.1).loc["x_1"],
        "t": [res.tvalues["x_1"]],
    }
    assert under[0] == start
    np.testing.assert_allclose([float(v) for v in under[1:-1].split(",")], want[stat], rtol=2e-3)


def test_p_values_are_never_zero(fits):
    assert fits[0].pvalues["x_1"] < 1e-16
    assert cells(str(jg.compare(fits[0], stat="p")))["x_1"][1][0] == "(<1e-16)"


def test_ratios_and_profile_limits(fits):
    table = jg.compare(*fits[:2], exponentiate=True, stat="ci", method="profile")
    limits = np.exp(fits[0].conf_int(method="profile"))
    np.testing.assert_allclose(
        table.frame["(1)"].loc[["Intercept", "x_1"], ["conf_low", "conf_high"]], limits, rtol=1e-12
    )
    assert "(rate ratio)" in str(table) and "95 % intervals (profile)" in str(table)
    with pytest.raises(InputError, match="identity"):
        jg.compare(fits[0], jg.glm("k ~ z", DATA), exponentiate=True)


def test_notes_say_what_cannot_be_compared(fits):
    other = jg.glm("log(k + 1) ~ x_1", DATA)
    zeros = DATA.assign(k=np.where(DATA["f"] == "a", 0, DATA["k"]))
    with pytest.warns(jg.SeparationWarning):
        separated = jg.glm("k ~ C(f, Treatment('50%'))", zeros, family="poisson", freq_weights=np.ones(N))
    text = " ".join(str(jg.compare(fits[0], other, separated)).split())
    assert "Different responses (k, log(k + 1))" in text
    assert "Different kinds of weights (none, freq_weights)" in text
    assert re.search(r"\(3\): infinite estimates?: \S.* -> -inf", text)


def test_names_of_several_predictors_are_texts():
    res = jg.glm(
        {"mean": "k ~ x_1", "dispersion": "~ z"},
        DATA.assign(k=rng.negative_binomial(2, 0.3, N)),
        family="negative_binomial",
    )
    assert list(jg.compare(res).frame.index) == [
        "mean: Intercept",
        "mean: x_1",
        "dispersion: Intercept",
        "dispersion: z",
    ]


def test_html(fits):
    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.texts = [], []

        def handle_starttag(self, tag, attrs):
            self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            self.texts.append(data)

    table = jg.compare(*fits, names=["<one>", "a & b", "three"])
    reader = Reader()
    reader.feed(table.to_html())
    assert not reader.open
    assert {"<one>", "a & b", "f[T.b|c]", "60"} <= set(reader.texts)
    assert table._repr_html_() == table.to_html()


def test_markdown(fits):
    lines = jg.compare(*fits, stars=True).to_markdown().split("\n")
    rows = [line for line in lines if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in rows)
    assert any(line.startswith("| f[T.b\\|c]") for line in rows)
    assert "\\*\\*\\*" in "".join(rows) and any(line.startswith("- In parentheses") for line in lines)


def test_latex(fits, tmp_path):
    text = jg.compare(*fits, names=["100%", "a & b", "x^2"], stars=True).to_latex()
    for escaped in (r"100\%", r"a \& b", r"x\textasciicircum{}2", r"x\_1", r"f[T.b\textbar{}c]", "$-$"):
        assert escaped in text
    assert not re.search(r"(?<!\\)[%#_]", text)
    assert all(
        len(re.findall(r"(?<!\\)&", line)) == 3
        for line in text.split("\n")
        if line.endswith(r"\\") and "multicolumn" not in line
    )
    if shutil.which("pdflatex"):
        (tmp_path / "t.tex").write_text("\\documentclass{article}\\begin{document}" + text + "\\end{document}")
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True
        )
        assert done.returncode == 0, done.stdout


def test_minus_signs_and_hyphens():
    grid = Grid(("", "m"), ((("co-op", "-1.5e-05"), ("", "[-2, -inf]")),), ())
    assert grid.as_latex().count("$-$") == 3 and "co-op" in grid.as_latex() and "e-05" in grid.as_latex()


def test_wrong_uses_say_what_to_do(fits):
    for call, error, words in (
        (lambda: jg.compare(), InputError, "needs results"),
        (lambda: jg.compare(list(fits)), InputTypeError, "not list; give a list as"),
        (lambda: jg.compare(fits[0], names=["a", "b"]), InputError, "list of 1 headings"),
        (lambda: jg.compare(*fits[:2], names="ab"), InputError, "list of 2 headings"),
        (lambda: jg.compare(*fits[:2], names=["a", "a"]), InputError, "must differ"),
        (lambda: jg.compare(fits[0], stat="ses"), InputError, "Did you mean 'se'"),
        (lambda: jg.compare(fits[0], alpha=95), InputError, "between 0 and 1"),
    ):
        with pytest.raises(error, match=words):
            call()
