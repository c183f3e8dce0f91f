"""How long do patients stay? Counts that vary more than Poisson allows, and what to do about it.

Run from the root of the repository: python examples/counts.py [folder for the picture]
"""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import nbinom, poisson

import jaxglm as jg

DATA = Path(__file__).resolve().parent / "data" / "medpar.csv"
FORMULA = "los ~ hmo + white + type"
TYPES = ["elective", "urgent", "emergency"]
WIDTH = 92


def stays() -> pd.DataFrame:
    """1,495 hospital stays; data/README.md says where they come from."""
    df = pd.read_csv(DATA)
    df["type"] = pd.Categorical.from_codes(df["type"] - 1, TYPES)
    return df


def title(text: str) -> None:
    """A heading."""
    print(f"\n## {text}\n")


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def show(table: pd.DataFrame | pd.Series) -> None:
    """A table, set in."""
    print(textwrap.indent(table.to_string(), "    "))


def ratios(res: jg.Results, names: list[str]) -> pd.DataFrame:
    """Rate ratios with 95% intervals, rounded."""
    table = res.tidy(conf_int=True, exponentiate=True).set_index("term").loc[names]
    table = table[["estimate", "conf_low", "conf_high"]].round(3)
    return table.set_axis(["ratio", "from", "to"], axis=1).rename_axis(None)


def look(df: pd.DataFrame) -> None:
    """What could the response be?"""
    title("1. What kind of number is it?")
    say(str(jg.suggest_family(df["los"])))
    say("""A Poisson count varies as much as its mean. These vary more, within each kind of admission:""")
    table = df.groupby("type", observed=True)["los"].agg(stays="size", mean="mean", variance="var")
    show(table.round(1).rename_axis(None))


def fit_poisson(df: pd.DataFrame) -> tuple[jg.Results, jg.Results]:
    """Poisson, and quasi-Poisson, which keeps its estimates."""
    title("2. Poisson, and why its standard errors are too small")
    plain = jg.glm(FORMULA, df, family="poisson")
    show(ratios(plain, ["hmo", "type[T.urgent]", "type[T.emergency]"]))
    phi = plain.pearson_chi2 / plain.df_resid
    say(f"""A ratio multiplies the expected days: insured by an HMO, {1 - np.exp(plain.params["hmo"]):.0%} fewer, and
        the interval leaves out 1. But Pearson chi2 / df = {phi:.2f}, where a Poisson count gives about 1. The standard
        errors rest on the variance that the model claims; the real one is about {phi:.1f} times that, so they, and
        the intervals, should be about sqrt({phi:.2f}) = {np.sqrt(phi):.1f} times wider.""")
    title("3. Quasi-Poisson: the same estimates, an estimated scale")
    quasi = jg.glm(FORMULA, df, family="quasipoisson")
    factor = quasi.bse / plain.bse
    assert np.allclose(quasi.params, plain.params) and np.allclose(factor, np.sqrt(phi))
    say(f"""Variance = phi x mean, with phi = {quasi.scale:.2f} estimated. The estimates stay what they were, every
        standard error is {factor.mean():.2f} times as large, and the effect of the HMO is no longer clear
        (p = {quasi.pvalues["hmo"]:.2f} instead of {plain.pvalues["hmo"]:.3f}). The price: a variance is not a
        distribution, so there is no likelihood, no AIC and nothing to simulate from.""")
    return plain, quasi


def fit_negative_binomial(df: pd.DataFrame, plain: jg.Results) -> jg.Results:
    """A distribution with the extra variance in it."""
    title("4. Negative binomial: a distribution with room for the extra variance")
    res = jg.glm(FORMULA, df, family="negative_binomial")
    print(res.summary(exponentiate=True))
    print()
    table = ratios(res, ["type[T.emergency]"]).iloc[0]
    low, high = res.conf_int().loc["alpha"]
    say(f"""Each patient has a rate of their own around the mean, so the variance is mean + alpha mean^2. alpha =
        {res.params["alpha"]:.3f} (standard error {res.bse["alpha"]:.3f}, 95% interval {low:.3f} to {high:.3f}) is far
        from 0, which would be Poisson. Read a ratio so: of two patients alike otherwise, the one admitted as an
        emergency is expected to stay {table["ratio"]:.2f} times as long as the elective one (95% interval
        {table["from"]:.2f} to {table["to"]:.2f}). AIC: Poisson {plain.aic:.0f}, negative binomial {res.aic:.0f}; lower
        is better, by {plain.aic - res.aic:.0f} here, for one parameter more.""")
    return res


def fit_dispersion(df: pd.DataFrame, constant: jg.Results) -> jg.Results:
    """alpha may depend on columns too."""
    title("5. A formula for the dispersion")
    res = jg.glm({"mean": FORMULA, "dispersion": "~ type"}, df, family="negative_binomial")
    new = pd.DataFrame({"hmo": 0, "white": 1, "type": pd.Categorical(TYPES, TYPES)})
    made = res.get_prediction(new, which="dispersion").summary_frame(obs=False)
    alpha = np.exp(made[["mean", "mean_ci_lower", "mean_ci_upper"]]).set_axis(["alpha", "from", "to"], axis=1)
    show(alpha.set_axis(TYPES).round(3))
    say(f"""The second formula is that of log(alpha). Emergencies differ from each other far more than planned stays
        do: AIC falls from {constant.aic:.0f} to {res.aic:.0f}, and their ratio is less certain than it seemed.""")
    return res


def fit_tweedie(df: pd.DataFrame) -> jg.Results:
    """Amounts with zeros, on a count without zeros."""
    title("6. Tweedie, power 1.5: between Poisson and Gamma")
    res = jg.glm(FORMULA, df, family=jg.Tweedie(power=1.5))
    say(f"""Variance = phi x mean^1.5, phi = {res.scale:.2f}. For a power between 1 and 2 it is the distribution of a
        sum of amounts, such as a year's claims: exactly 0 with some probability, otherwise any positive number. Days
        are whole numbers and {(df["los"] == 0).sum()} of these {len(df)} are 0, so it is not made for them, though
        mean and variance alone give sensible standard errors. Its AIC ({res.aic:.0f}) comes from a density, that of
        a count from probabilities: the two must not be compared.""")
    return res


def compare(fits: dict[str, jg.Results]) -> None:
    """Standard errors side by side."""
    title("7. The same coefficients under each model")
    rows = {}
    for name, res in fits.items():
        # After a dict of formulas the names are pairs of predictor and term.
        part = [v["mean"] if v.index.nlevels == 2 else v for v in (res.params, res.bse, res.pvalues)]
        hmo, emergency = ([v[term] for v in part] for term in ("hmo", "type[T.emergency]"))
        rows[name] = [*hmo, *emergency[:2]]
    columns = ["hmo", "SE", "p", "emergency", "SE"]
    show(pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(4))
    say("The estimates hardly move; the standard errors do. Only Poisson is sure about the HMO.")


def check(fits: dict[str, jg.Results], df: pd.DataFrame) -> None:
    """Data from each model beside the real ones."""
    title("8. Would the model have made these data?")
    y = df["los"]
    rows = {"observed": [(y == 0).mean(), (y > 30).mean(), y.max(), np.nan, np.nan]}
    for name, res in fits.items():
        drawn = res.simulate(200, seed=1)
        residual = res.resid("quantile", seed=1)
        large = [(drawn == 0).mean().mean(), (drawn > 30).mean().mean(), drawn.max().mean()]
        rows[name] = [*large, residual.mean(), residual.std()]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["0 days", "over 30", "longest", "mean", "sd"])
    percent = table[["0 days", "over 30"]].map("{:.1%}".format)
    rest = {"longest": table["longest"].map("{:.0f}".format)}
    rest |= {name: table[name].map(lambda v: "" if np.isnan(v) else f"{v + 0.0:.2f}") for name in ("mean", "sd")}
    show(percent.assign(**rest))
    say(f"""The first row is the data, the others are averages over 200 data sets that simulate() drew from the fit.
        Poisson all but never makes a stay beyond 30 days ({(y > 30).sum()} are there). Mean and sd are those of the
        quantile residuals; they should be 0 and 1 (sd to within about {1.96 / np.sqrt(2 * len(df)):.2f}), as they are
        under the negative binomial. What is left is its stays of 0 days, which are never recorded. A likelihood
        without zeros is a few lines of your own: see custom_likelihood.py.""")


def expected(res: jg.Results, last: int) -> np.ndarray:
    """Expected number of stays of 0, 1, ..., `last` days, and of more."""
    days, mu = np.arange(last + 1), res.fittedvalues.to_numpy()[:, None]
    if "alpha" in res.params:
        size = 1 / res.params["alpha"]
        chance = nbinom.pmf(days, size, size / (size + mu)).sum(axis=0)
    else:
        chance = poisson.pmf(days, mu).sum(axis=0)
    return np.append(chance, len(mu) - chance.sum())


def draw(fits: dict[str, jg.Results], df: pd.DataFrame, folder: Path) -> None:
    """Observed counts against what two models expect, and the gaps between them."""
    import matplotlib.pyplot as plt

    last = 35
    seen = np.bincount(np.minimum(df["los"], last + 1), minlength=last + 2)
    days, colors = np.arange(last + 2), {"Poisson": "#c44e3b", "negative binomial": "#1f5f8b"}
    figure, (top, low) = plt.subplots(2, sharex=True, figsize=(8.4, 6.2), height_ratios=[3, 2], layout="constrained")
    top.bar(days, seen, width=0.82, color="#c9ced4", label="observed")
    low.axhspan(-1, 1, color="#eef0f2", zorder=0)
    low.axhline(0, color="#555555", linewidth=0.8)
    for (name, color), mark, shift in zip(colors.items(), "os", (-0.16, 0.16), strict=True):
        mean = expected(fits[name], last)
        top.plot(days[:-1], mean[:-1], color=color, marker=mark, markersize=3.5, linewidth=1.6, label=name)
        top.plot(days[-1:], mean[-1:], color=color, marker=mark, markersize=3.5)
        gap = np.sqrt(seen) - np.sqrt(mean)
        low.vlines(days + shift, 0, gap, color=color, linewidth=2.2)
        low.plot(days + shift, gap, mark, color=color, markersize=3.5)
    top.set(ylabel="stays", title="Length of 1,495 hospital stays, and what two models expect")
    handles, labels = top.get_legend_handles_labels()
    order = [labels.index(name) for name in ("observed", *colors)]
    top.legend([handles[i] for i in order], [labels[i] for i in order], frameon=False)
    for height, va, text in ((0.97, "top", "more stays than expected"), (0.03, "bottom", "fewer stays than expected")):
        low.text(0.99, height, text, transform=low.transAxes, ha="right", va=va, color="#666666", fontsize=9)
    low.set(xlabel="days in hospital", ylabel="√observed − √expected", xlim=(-0.8, last + 1.8))
    ticks = np.arange(0, last, 5)
    low.set_xticks([*ticks, last + 1], [*map(str, ticks), f"{last + 1}+"])
    for axes in (top, low):
        axes.spines[["top", "right"]].set_visible(False)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "counts.png"
    figure.savefig(path, dpi=150)
    plt.close(figure)
    title("9. The picture")
    say(f"""Stays of each length (bars) and what Poisson and negative binomial expect (lines); below, the gaps
        between square roots, of which chance alone leaves most in the gray band: {path}""")


def main() -> None:
    """Tell the whole story."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    df = stays()
    say(f"{len(df)} stays in hospital: {df['los'].min()} to {df['los'].max()} days, mean {df['los'].mean():.1f}.")
    look(df)
    plain, quasi = fit_poisson(df)
    spread = fit_negative_binomial(df, plain)
    typed = fit_dispersion(df, spread)
    tweedie = fit_tweedie(df)
    named = {"Poisson": plain, "negative binomial": spread, "NB, alpha ~ type": typed, "Tweedie 1.5": tweedie}
    compare({"Poisson": plain, "quasi-Poisson": quasi} | named)
    check(named, df)
    draw(named, df, folder)


if __name__ == "__main__":
    main()
