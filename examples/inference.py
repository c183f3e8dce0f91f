"""What keeps women out of the labor force? One analysis from the question to the conclusion, by what comes after a fit.

Run from the root of the repository: python examples/inference.py [folder for the pictures]
"""

import sys
import tempfile
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import jaxglm as jg

DATA = Path(__file__).resolve().parent / "data" / "swisslabor.csv"
LINE = "works ~ income + education + age + young + old + foreign"
CURVE = LINE.replace("age", "age + I((age - 40)^2)")
CHILDREN = ["none", "one", "two or more"]
SQUARE = "I((age - 40) ** 2)"
SHOWN = ["income", "education", "young[T.one]", "young[T.two or more]", "old", "foreign[T.yes]"]
WIDTH = 98


def women() -> pd.DataFrame:
    """872 married women; data/README.md says where they come from."""
    df = pd.read_csv(DATA).rename(columns={"youngkids": "young", "oldkids": "old"})
    df["age"] = (10 * df["age"]).round()
    df["young"] = pd.Categorical.from_codes(np.minimum(df["young"], 2), CHILDREN)
    return df


def title(text: str) -> None:
    """A heading."""
    print(f"\n## {text}\n")


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def show(table: pd.DataFrame | pd.Series) -> None:
    """A table, set in."""
    print("\n".join("    " + line.rstrip() for line in table.to_string().splitlines()))


def look(df: pd.DataFrame) -> None:
    """The question, and the plain shares."""
    title("1. The question")
    age = df["age"].groupby(df["young"].eq("none")).mean()
    assert age[False] < age[True]
    say(f"""{len(df)} married women in Switzerland, 1981; {df["works"].mean():.0%} are in the labor force. Do young
        children (under 7) keep them out of it? The shares in it say so, but women with young children are
        {age[False]:.0f} years old on average, the others {age[True]:.0f}. A model holds the rest equal.""")
    table = df.pivot_table(index="young", columns="foreign", values="works", aggfunc=["size", "mean"], observed=True)
    show(table.round(2).set_axis(["Swiss", "foreign", "share of Swiss", "share of foreign"], axis=1).rename_axis(None))


def first_model(df: pd.DataFrame) -> jg.Results:
    """Everything as a straight line on the scale of log odds."""
    title("2. A first model, and what its checks say")
    res = jg.glm(LINE, df, family="binomial")
    checks = res.diagnose()
    print(checks)
    assert checks["curvature"].verdict == "problem" and "along age" in checks["curvature"].remedy
    say(f"""Some predicted probabilities are off (calibration, p = {checks["calibration"].p_value:.3f}). The test of
        each column says where: the log odds are no straight line in age.""")
    return res


def better_model(df: pd.DataFrame, line: jg.Results) -> jg.Results:
    """A curve in age; what else could be missing."""
    title("3. A curve in age")
    res = jg.glm(CURVE, df, family="binomial")
    gain, knots = res.lr_test(line), res.score_test("ns(age, 4)")
    tests = {name: res.score_test(f"foreign:{name}").p_value for name in ("income", "education", "age", "young", "old")}
    least = min(tests, key=tests.get)
    holm = len(tests) * tests[least]
    assert gain.p_value < 0.001 and knots.p_value > 0.05 and holm > 0.05 and res.diagnose().verdict == "ok"
    say(f"""{gain.title}: chi2({gain.df:.0f}) = {gain.statistic:.1f}, p = {gain.p_value:.1e}; AIC {line.aic:.1f}, now
        {res.aic:.1f}; every check that applies is now ok. Is more missing? Score tests need no further fit. A spline
        beside the parabola: p = {knots.p_value:.2f}. Foreign women might differ in the effect of one of {len(tests)}
        columns: most in {least} (p = {tests[least]:.3f}), but p = {holm:.2f} for the best of {len(tests)}. Neither is
        added.""")
    both = jg.compare(line, res, names=["line", "curve"], stat="p")
    table = both.frame.loc[["age", SQUARE, "old"]].swaplevel(axis=1)[["estimate", "p_value"]].swaplevel(axis=1)
    show(table[["line", "curve"]].map("{:.2g}".format).replace("nan", ""))
    old = both.frame.loc["old"].unstack()["p_value"]
    assert old["line"] > 0.05 > old["curve"]
    peak = res.delta(lambda b: {"peak": 40 - b["age"] / (2 * b[SQUARE])}).loc["peak"]
    middle = df["age"].between(30, 50)
    share, gap = middle[df["old"] > 0].mean(), line.resid("response")[middle].mean()
    assert share > 0.75 and gap > 0
    say(f"""The line also hid what older children do (p = {old["line"]:.2f}, now {old["curve"]:.3f}): {share:.0%} of the
        women who have some are 30 to 50, and at that age more take part than the line says, by {100 * gap:.0f} points.
        By the curve the odds are highest at {peak["estimate"]:.1f} years (standard error {peak["std_error"]:.1f}, by
        the delta method).""")
    return res


def odds(res: jg.Results) -> pd.DataFrame:
    """Odds ratios, with limits from the likelihood itself."""
    title("4. Odds ratios with profile limits")
    table = res.tidy(conf_int=True, exponentiate=True, method="profile").set_index("term").loc[SHOWN]
    wald = np.exp(res.conf_int().loc[SHOWN])
    table = table[["estimate", "conf_low", "conf_high", "p_value"]]
    show(table.assign(wald_low=wald["lower"], wald_high=wald["upper"]).rename_axis(None).map("{:.3g}".format))
    one = table.loc["young[T.one]"]
    half = 2 ** res.params["income"]
    children = res.wald_test(["young", "old"])
    say(f"""One young child: the odds of being in the labor force are {one["estimate"]:.2f} times those without (95%
        profile interval {one["conf_low"]:.2f} to {one["conf_high"]:.2f}). income is the log of income that is not from
        labor: twice as much multiplies the odds by 2^b = {half:.2f}. All coefficients of children together: Wald
        chi2({children.df:.0f}) = {children.statistic:.1f}, p = {children.p_value:.0e}.""")
    return table


def effects(res: jg.Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same in probabilities."""
    title("5. In probabilities: average effects and predictions")
    made = res.margins().frame().set_index(["term", "contrast"])
    show(made[["estimate", "std_error", "conf_low", "conf_high"]].round(4).rename_axis([None, None]))
    one, income, foreign = made.loc[("young", "one - none")], made.loc[("income", "dY/dX")], made.loc["foreign"].iloc[0]
    more = res.margins("young", reference="sequential").frame().iloc[1]
    say(f"""Averages over these women: one young child takes {-100 * one["estimate"]:.0f} points off the probability
        (95% interval {-100 * one["conf_high"]:.0f} to {-100 * one["conf_low"]:.0f}), more of them
        {-100 * more["estimate"]:.0f} further ({-100 * more["conf_high"]:.0f} to {-100 * more["conf_low"]:.0f}), 10%
        more income about {-100 * income["estimate"] * np.log(1.1):.0f}; foreign women are
        {100 * foreign["estimate"]:.0f} ahead. The probability itself, if all had these children and this
        nationality:""")
    grid = res.predictions(at={"young": CHILDREN, "foreign": ["no", "yes"]}).frame()
    text = [f"{r.estimate:.2f} ({r.conf_low:.2f} to {r.conf_high:.2f})" for r in grid.itertuples()]
    wide = grid.assign(text=text).pivot(index="young", columns="foreign", values="text").loc[CHILDREN]
    show(wide.set_axis(["Swiss", "foreign"], axis=1).rename_axis(None))
    return made, grid


def robust(res: jg.Results) -> None:
    """Standard errors that do not take the model's variance at its word."""
    title("6. What if? Robust standard errors, and the fit without influential rows")
    table = jg.compare(res, res.with_cov("HC3"), names=["plain", "HC3"]).frame.xs("std_error", axis=1, level=1)
    ratio = (table["HC3"] / table["plain"]).drop("Intercept")
    assert ratio.between(0.9, 1.1).all()
    say(f"""Sandwich (HC3) over plain standard errors: {ratio.min():.2f} ({ratio.idxmin()}) to {ratio.max():.2f}
        ({ratio.idxmax()}), so they agree. Women of one village may be alike, which cov=jg.Cluster("village") would
        allow for; this file does not say where they live. The largest Cook's distances:""")


def rows(df: pd.DataFrame, res: jg.Results) -> None:
    """Does the answer hang on a few women?"""
    top = res.influence().top(5)
    table = df.loc[top.index, ["works", "income", "education", "age", "young", "old", "foreign"]]
    show(table.assign(fitted=res.fittedvalues, cook=top["cooks_distance"]).round(3))
    without = jg.glm(CURVE, df.drop(index=top.index), family="binomial")
    moved = (without.params - res.params) / res.bse
    most = moved.abs().idxmax()
    ends = [np.exp(fit.params[most]) for fit in (res, without)]
    assert top["cooks_distance"].max() < 0.05 and (table["works"] == 1).all() and ends[1] < ends[0]
    assert res.fittedvalues[top.index].max() < 0.25 and most == "young[T.two or more]"
    say(f"""All five take part where the model expects few to. Without them {most} moves by
        {abs(moved[most]):.1f} standard errors (odds ratio {ends[0]:.2f}, then {ends[1]:.3f}), the next by
        {moved.drop(most).abs().max():.1f}: these rows weaken the effect of children, they do not make it.""")


def predict(res: jg.Results) -> None:
    """New women, from a file."""
    title("7. Prediction, from a saved model")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "work.jg"
        res.save(path)
        loaded, size = jg.load(path), path.stat().st_size
    new = pd.DataFrame({"young": CHILDREN, "income": 10.7, "education": 9, "age": 30, "old": 0, "foreign": "no"})
    one, hundred = loaded.get_prediction(new), loaded.get_prediction(new, trials=100)
    assert np.array_equal(one.predicted, res.predict(new))
    low, high = 100 * hundred.obs_int().T
    table = (
        one.summary_frame(obs=False).drop(columns="mean_se").set_axis(["probability", "from", "to"], axis=1).round(3)
    )
    show(table.assign(of_100=[f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True)]).set_axis(CHILDREN))
    say(f"""Swiss women of 30, 9 years of school, income 10.7, no older child. from and to (95%) say how well the
        probability is known; of_100, how many of 100 such women take part, chance counted too. The file has
        {size / 1024:.0f} KB and no rows.""")


def conclude(table: pd.DataFrame, made: pd.DataFrame, grid: pd.DataFrame) -> None:
    """The answer to the question."""
    title("8. Conclusion")
    one, income, school = made.loc[("young", "one - none")], made.loc[("income", "dY/dX")], table.loc["education"]
    swiss, foreign = (grid[grid["foreign"] == v].set_index("young")["estimate"] for v in ("no", "yes"))
    assert one["conf_high"] < 0 and income["conf_high"] < 0 and school["p_value"] > 0.05
    assert swiss["none"] - swiss["one"] > swiss["one"] - swiss["two or more"]
    say(f"""Women with young children are in the labor force far less often, and the first child counts most: with one
        it is {swiss["one"]:.0%} instead of {swiss["none"]:.0%} of Swiss and {foreign["one"]:.0%} instead of
        {foreign["none"]:.0%} of foreign women, all else as it is. More income that is not from labor goes the same way.
        That schooling matters is not shown (odds ratio {school["estimate"]:.2f} a year, {school["conf_low"]:.2f} to
        {school["conf_high"]:.2f}). These are associations in one sample of 1981: who has children, and who wants to
        work, may have common causes.""")


def draw(line: jg.Results, res: jg.Results, folder: Path) -> None:
    """Effects, and a page of checks."""
    figure, axes = plt.subplots(2, 2, figsize=(11.5, 8.6), layout="constrained")
    line.plot.effect("age", ax=axes[0, 0])
    res.plot.effect("age", ax=axes[0, 1])
    res.plot.effect("young", by="foreign", points=False, ax=axes[1, 0])
    res.plot.coefficients(exponentiate=True, only=SHOWN, ax=axes[1, 1])
    for ax in axes.flat[:3]:
        ax.set_ylabel("Probability of being in the labor force")
    axes[1, 0].set_ylim(0, 1)
    titles = ("First model: a straight line in age", "Last model: a curve", "Young children", "Odds ratios")
    for ax, text in zip(axes.flat, titles, strict=True):
        ax.set_title(text, loc="left")
    checks = res.plot.diagnostics()[0, 0].figure
    folder.mkdir(parents=True, exist_ok=True)
    print()
    for name, page, words in (("effects", figure, "Effects"), ("checks", checks, "Checks of the last model")):
        path = folder / f"inference_{name}.png"
        page.savefig(path, dpi=150)
        plt.close(page)
        print(f"{words}: {path}")


def main() -> None:
    """Tell the whole story."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    df = women()
    look(df)
    line = first_model(df)
    res = better_model(df, line)
    table = odds(res)
    made, grid = effects(res)
    robust(res)
    rows(df, res)
    predict(res)
    conclude(table, made, grid)
    draw(line, res, folder)


if __name__ == "__main__":
    main()
