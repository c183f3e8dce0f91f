"""What should motor insurance cost? Frequency, severity and pure premium of simulated policies, checked on others.

Run from the root of a checkout (the policies come from benchmarks/insurance_data.py, which no package contains):
python examples/insurance.py [folder for the pictures] [--policies 600000]
"""

import argparse
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import chi2

import jaxglm as jg

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from insurance_data import FACTORS, SMALLEST, policies  # noqa: E402

#: Names for the levels, which the generator only numbers; elsewhere they are counted from 0, 1 or 4.
NAMES = {"area": list("ABCDEF"), "fuel": ["electric", "petrol", "diesel"], "driver_age": range(80, 17, -1)}
FIRST = {"vehicle_age": 0, "power": 4}
SHOWN = {"driver_age": [18, 25, 50, 80], "bonus": [1, 12, 24], "vehicle_age": [0, 14], "area": list("ABCDEF")}
RIGHT = " + ".join(FACTORS)
BLUE, RED, DARK, PALE, GRAY = "#1f5f8b", "#c44e3b", "#2b2b2b", "#dfe3e8", "#6b7178"
WIDTH = 92


def title(text: str) -> None:
    """A heading."""
    print(f"\n## {text}\n")


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def show(table: pd.DataFrame) -> None:
    """A table, set in."""
    print(textwrap.indent(table.to_string(), "    "))


def portfolio(n: int) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, list[str]]]:
    """`n` policies for the models, a quarter as many to check them on, and the levels of each factor in their order.

    The level with the most exposure comes first among the categories, which makes it the base of the tariff.
    """
    df = policies(n + n // 4)
    order = {}
    for name, (size, _) in FACTORS.items():
        start = FIRST.get(name, 1)
        levels = [str(level) for level in NAMES.get(name, range(start, start + size))]
        named = df[name].cat.rename_categories(levels)
        order[name] = sorted(levels, key=int) if name == "driver_age" else levels
        base = df["exposure"].groupby(named, observed=True).sum().idxmax()
        df[name] = named.cat.reorder_categories([base, *(level for level in order[name] if level != base)])
    # Rows are independent draws, so the last ones are as good as any.
    return df.iloc[:n], df.iloc[n:], order


def look(df: pd.DataFrame, test: pd.DataFrame) -> None:
    """The portfolio in a few numbers."""
    title("1. The portfolio")
    columns = ["exposure", "claims", "amount"]
    table = df.groupby("area", observed=True)[columns].sum().sort_index(key=lambda areas: areas.astype(str))
    table.loc["all"] = df[columns].sum()
    exposure, claims, amount = (table.pop(column) for column in columns)
    table["exposure"] = exposure.map("{:,.0f}".format)
    table["claims"] = claims.map("{:,.0f}".format)
    table["frequency"] = (claims / exposure).map("{:.4f}".format)
    table["mean claim"] = (amount / claims).map("{:,.0f}".format)
    table["pure premium"] = (amount / exposure).map("{:.1f}".format)
    say(f"""{len(df):,} simulated policies with {len(FACTORS)} factors of {sum(n for n, _ in FACTORS.values())} levels;
        {(df["claims"] > 0).mean():.1%} of them have a claim. By area (exposure in years, frequency in claims per
        year, pure premium in claim amounts per year):""")
    show(table.rename_axis(None))
    say(f"""{len(test):,} further policies are kept aside and touched by no model until section 6. The levels are
        named by this example; the market behind them is made up.""")


def timed(*args, **options) -> tuple[jg.Results, str]:
    """A fit, and how long it took the first and the second time."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        res = jg.glm(*args, **options)
        seconds.append(time.perf_counter() - start)
    return res, f"{seconds[0]:.1f} s the first time, {seconds[1]:.1f} s the second"


def fit_frequency(df: pd.DataFrame) -> jg.Results:
    """Claims per year of exposure, and whether their counts are Poisson."""
    title("2. Frequency: Poisson, log link, exposure in years")
    res, seconds = timed(f"claims ~ {RIGHT}", df, family="poisson", exposure="exposure")
    lines = str(res.summary(exponentiate=True)).splitlines()
    rows = [line for line in lines if line.startswith(tuple(FACTORS))]
    kept = [line for line in lines if line not in rows or line.startswith(("area", "fuel"))]
    at = max(i for i, line in enumerate(kept) if line.startswith("fuel"))
    kept.insert(at + 1, f"... and {len(rows) + 1 - sum(r.startswith(('area', 'fuel')) for r in rows) - 1} more rows")
    print("\n".join(kept))
    print()
    say(f"""The fit took {seconds}: the difference is compilation, which jg.enable_compile_cache() keeps for later
        runs. The Intercept is the frequency of the base policy, which has the level with the most exposure in every
        factor; a rate ratio says what another level multiplies it by.""")
    return res


def check_counts(res: jg.Results, df: pd.DataFrame) -> None:
    """Overdispersion, with the scatter that chance gives rare counts."""
    title("3. Do the counts vary more than Poisson counts?")
    mu = res.fittedvalues
    phi = res.pearson_chi2 / res.df_resid
    slack = 1.96 * np.sqrt((2 + 1 / mu).sum()) / res.df_resid
    square = (mu**2).sum()
    alpha, error = ((df["claims"] - mu) ** 2 - df["claims"]).sum() / square, np.sqrt(2 / square)
    most = max(alpha + 1.96 * error, 0)
    verdict = (
        "Both are what Poisson counts give, so the standard errors above stand."
        if abs(phi - 1) < slack and abs(alpha) < 1.96 * error
        else "They are not what Poisson counts give: prefer quasi-Poisson or the negative binomial."
    )
    say(f"""Pearson chi2 / df = {phi:.4f}. Counts as rare as these (mean {mu.mean():.3f}) make it scatter far more than
        the usual sqrt(2 / df): Poisson gives 1 within {slack:.3f}. A sharper look is at the squares that exceed the
        Poisson variance: in a variance of mu + alpha mu^2 they put alpha at {alpha:.3f} with standard error
        {error:.3f}, and Poisson has 0. {verdict} Quasi-Poisson would multiply every one of them by
        sqrt({phi:.4f}) = {np.sqrt(phi):.4f}; a negative binomial, even at the upper end of alpha, {most:.2f}, by about
        {np.sqrt(1 + most * mu.mean()):.3f}. Real portfolios, in which drivers differ in ways that no factor shows,
        mostly do vary more.""")


def fit_severity(df: pd.DataFrame) -> jg.Results:
    """The mean claim of policies with claims."""
    title("4. Severity: Gamma, log link, weighted with the number of claims")
    claimed = df[df["claims"] > 0]
    res, seconds = timed(f"severity ~ {RIGHT}", claimed, family="gamma", link="log", var_weights="claims")
    say(f"""{len(claimed):,} policies with {claimed["claims"].sum():,.0f} claims; {seconds}. The response is the mean
        claim of a policy, and a mean of k claims is k times as precise as one: hence var_weights="claims". The
        estimated scale, {res.scale:.3f}, is the squared coefficient of variation of a single claim. Severity is known
        far less well than frequency is: there are few claims, and each is uncertain.""")
    return res


def fit_tweedie(df: pd.DataFrame) -> jg.Results:
    """Frequency and severity in one model."""
    title("5. Pure premium: frequency x severity, or one Tweedie model")
    res, seconds = timed(f"premium ~ {RIGHT}", df, family=jg.Tweedie(power=1.5), var_weights="exposure")
    say(f"""Multiplied, the two models give the pure premium: their coefficients add up, and so do their squared
        standard errors, as severity is estimated given the claims there were. Tweedie models the amount per year in
        one step, as a sum of Gamma claims whose number is Poisson, with var_weights="exposure" ({seconds}).
        Relativities with 95% intervals; the base is 1.""")
    return res


def relativities(*parts: jg.Results) -> pd.DataFrame:
    """Exponentiated coefficients with 95% limits; those of several independent models are multiplied."""
    if len(parts) == 1:
        table = parts[0].tidy(conf_int=True, exponentiate=True).set_index("term")
        return table[["estimate", "conf_low", "conf_high"]]
    log, error = sum(part.params for part in parts), np.sqrt(sum(part.bse**2 for part in parts))
    ends = {"estimate": 0.0, "conf_low": -1.96, "conf_high": 1.96}
    return pd.DataFrame({name: np.exp(log + z * error) for name, z in ends.items()})


def of_factor(table: pd.DataFrame, factor: str, levels: list[str]) -> pd.DataFrame:
    """The rows of one factor in the order of its levels, with 1 for the base."""
    rows = table.reindex([f"{factor}[T.{level}]" for level in levels]).set_axis(levels)
    return rows.fillna(1.0)


def compare(tables: dict[str, pd.DataFrame], order: dict[str, list[str]]) -> None:
    """The relativities of all models side by side."""
    shown = {}
    for name, table in tables.items():
        text = {}
        for factor, levels in SHOWN.items():
            rows = of_factor(table, factor, order[factor]).loc[[str(level) for level in levels]]
            for level, (ratio, low, high) in zip(rows.index, rows.to_numpy(), strict=True):
                base = low == high
                text[f"{factor} {level}"] = "1.00 (base)     " if base else f"{ratio:.2f} ({low:.2f} to {high:.2f})"
        shown[name] = text
    show(pd.DataFrame(shown))
    wide = {name: np.log(table["conf_high"] / table["conf_low"]).iloc[1:] for name, table in tables.items()}
    both, tweedie = tables["both"]["estimate"], tables["Tweedie"]["estimate"]
    gap = np.abs(np.log(tweedie / both)).iloc[1:].median()
    say(f""""both" is frequency x severity. The two ways differ by {gap:.1%} in the median coefficient. Tweedie's
        intervals are {(wide["Tweedie"] / wide["both"]).median():.2f} times as wide: it does not use how many claims
        an amount came from, and it lets one phi serve policies of every frequency.""")


def premiums(fits: dict[str, jg.Results], df: pd.DataFrame) -> pd.DataFrame:
    """Expected claims, and pure premium of each policy for the time it was insured, both ways."""
    claims = fits["frequency"].predict(df)
    both = claims * fits["severity"].predict(df)
    return pd.DataFrame({"claims": claims, "both": both, "Tweedie": fits["tweedie"].predict(df) * df["exposure"]})


def slices(by: pd.Series, exposure: pd.Series, n: int) -> np.ndarray:
    """For each policy its slice 1, ..., n of equal exposure, in ascending order of `by`."""
    rank = by.argsort(kind="stable").to_numpy()
    share = exposure.to_numpy()[rank].cumsum() / exposure.sum()
    number = np.empty(len(by), int)
    number[rank] = np.minimum((share * n).astype(int), n - 1) + 1
    return number


def lorenz(by: pd.Series, exposure: pd.Series, amount: pd.Series) -> tuple[np.ndarray, np.ndarray, float]:
    """Shares of exposure and of amounts in ascending order of `by`, and the Gini index between them."""
    rank = by.argsort(kind="stable").to_numpy()
    x, y = (np.append(0, v.to_numpy()[rank].cumsum() / v.sum()) for v in (exposure, amount))
    return x, y, 1 - np.trapezoid(y, x) * 2


def interval(claims: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Exact 95% limits of the mean of Poisson counts."""
    return chi2.ppf(0.025, 2 * claims) / 2, chi2.ppf(0.975, 2 * claims + 2) / 2


def by_level(df: pd.DataFrame, expected: pd.Series, factor: str) -> pd.DataFrame:
    """Observed over expected claims of each level, with limits."""
    table = pd.DataFrame({"claims": df["claims"], "expected": expected}).groupby(df[factor], observed=True).sum()
    low, high = interval(table["claims"])
    ratio = table["claims"] / table["expected"]
    return pd.DataFrame({"ratio": ratio, "low": low / table["expected"], "high": high / table["expected"]})


def by_decile(test: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Claims and premiums by decile of the premium per year, with limits for the observed premium."""
    decile = slices(made["both"] / test["exposure"], test["exposure"], 10)
    table = test[["exposure", "claims", "amount"]].assign(square=test["amount"] ** 2).groupby(decile).sum()
    expected = made.groupby(decile).sum()
    per_year = pd.DataFrame({"observed": table["amount"]} | dict(expected[["both", "Tweedie"]].items()))
    per_year = per_year.div(table["exposure"], axis=0)
    # The amount of a slice is a compound Poisson sum, whose variance the squared amounts add up to.
    per_year["error"] = 1.96 * np.sqrt(table["square"]) / table["exposure"]
    return per_year.assign(claims=table["claims"], expected=expected["claims"])


def check(fits: dict[str, jg.Results], df: pd.DataFrame, test: pd.DataFrame, made: pd.DataFrame) -> None:
    """Totals, levels, deciles, and how well the premiums rank."""
    title("6. Does it hold for policies that the models have not seen?")
    own = premiums(fits, df)
    paid, asked = df["amount"].sum(), own[["both", "Tweedie"]].sum()
    same = max(by_level(df, own["claims"], factor)["ratio"].sub(1).abs().max() for factor in FACTORS)
    say(f"""On the policies of the fit, expected claims equal the observed ones in every level of every factor (largest
        gap {same:.0e}): Poisson with its log link cannot do otherwise, so that proves nothing. The premiums need not
        add up: frequency x severity asks for {asked["both"] / paid - 1:+.2%} of what was paid, Tweedie
        {asked["Tweedie"] / paid - 1:+.2%}. The policies kept aside can tell:""")
    levels = pd.concat([by_level(test, made["claims"], factor) for factor in FACTORS])
    inside = ((levels["low"] <= 1) & (levels["high"] >= 1)).mean()
    low, high = interval(test["claims"].sum()) / made["claims"].sum()
    paid = test["amount"].sum()
    say(f"""Claims observed / expected: {test["claims"].sum() / made["claims"].sum():.3f} (95% interval {low:.3f} to
        {high:.3f}); by level the interval holds 1 in {inside:.0%} of {len(levels)} levels (a little under 95% is
        right, as the expected are estimates too). Paid / asked: frequency x severity
        {paid / made["both"].sum():.3f}, Tweedie {paid / made["Tweedie"].sum():.3f}, to within
        {1.96 * np.sqrt((test["amount"] ** 2).sum()) / paid:.3f}. By decile of the premium:""")
    table = by_decile(test, made)
    text = table[["claims", "expected"]].map("{:.0f}".format)
    text["premium"] = [f"{v:.0f} +- {e:.0f}" for v, e in zip(table["observed"], table["error"], strict=True)]
    show(text.join(table[["both", "Tweedie"]].map("{:.0f}".format)))
    rank_check(df, test, made)


def rank_check(df: pd.DataFrame, test: pd.DataFrame, made: pd.DataFrame) -> None:
    """Gini indices with bootstrap limits, and a double lift of the two premiums."""
    bonus = df.groupby("bonus", observed=True)[["amount", "exposure"]].sum()
    one_way = test["bonus"].map(bonus["amount"] / bonus["exposure"]).astype(float)
    ranks = {"bonus alone": one_way} | {name: made[name] / test["exposure"] for name in ("both", "Tweedie")}
    rng, drawn = np.random.default_rng(1), {name: [] for name in ranks}
    for _ in range(50):
        often = rng.poisson(1.0, len(test))
        for name, by in ranks.items():
            drawn[name].append(lorenz(by, test["exposure"] * often, test["amount"] * often)[2])
    index = {name: lorenz(by, test["exposure"], test["amount"])[2] for name, by in ranks.items()}
    error = {name: np.std(values) for name, values in drawn.items()}
    apart = np.std(np.subtract(drawn["both"], drawn["Tweedie"]))
    part = slices(made["Tweedie"] / made["both"], test["exposure"], 5)
    sums = made.assign(paid=test["amount"]).groupby(part).sum().loc[[1, 5]]
    (cheap, dear), (cheap_tweedie, dear_tweedie) = (
        sums["paid"] / sums["both"],
        sums["paid"] / sums["Tweedie"],
    )
    say(f"""Gini index (0: the premium ranks risks no better than chance): {index["both"]:.3f} for frequency x severity,
        {index["Tweedie"]:.3f} for Tweedie (standard error of each {error["both"]:.3f}, of their difference
        {apart:.4f}), {index["bonus alone"]:.3f} for a tariff of the bonus classes alone. Double lift: in the fifth
        where Tweedie is lowest against frequency x severity, paid / asked is {cheap_tweedie:.2f} for Tweedie and
        {cheap:.2f} for the product; in the fifth where it is highest, {dear_tweedie:.2f} and {dear:.2f}.""")


def draw_relativities(tables: dict[str, pd.DataFrame], df: pd.DataFrame, order: dict, path: Path) -> None:
    """Relativities of four factors over the exposure of their levels."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12.5, 8.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=[24, 15, 9])
    places = {"driver_age": grid[0, :], "bonus": grid[1, 0], "vehicle_age": grid[1, 1], "area": grid[1, 2]}
    labels = ("age of the driver", "bonus class", "age of the vehicle", "area")
    styles = {"frequency": (BLUE, "o", -0.18), "severity": (RED, "s", 0.18)}
    for (factor, place), label in zip(places.items(), labels, strict=True):
        levels = order[factor]
        axes, at = figure.add_subplot(place), np.arange(len(levels))
        share = df.groupby(factor, observed=True)["exposure"].sum().reindex(levels) / df["exposure"].sum()
        bars = axes.twinx()
        bars.bar(at, 100 * share, width=0.8, color=PALE)
        bars.set(ylim=(0, 330 * share.max()), yticks=[0, np.ceil(100 * share.max())])
        bars.tick_params(colors=GRAY, length=2, labelsize=8)
        axes.set_zorder(bars.get_zorder() + 1)
        axes.patch.set_visible(False)
        axes.axhline(1, color=GRAY, linewidth=0.8, linestyle="--")
        for name, (color, mark, shift) in styles.items():
            rows = of_factor(tables[name], factor, levels)
            axes.vlines(at + shift, rows["conf_low"], rows["conf_high"], color=color, linewidth=1.4)
            axes.plot(at + shift, rows["estimate"], mark, color=color, markersize=4, label=name)
        rows = of_factor(tables["both"], factor, levels)
        axes.plot(at, rows["estimate"], color=DARK, linewidth=1.1, label="pure premium (frequency x severity)")
        axes.set(yscale="log", ylim=(0.42, 6), xlim=(-0.7, len(levels) - 0.3), xlabel=label)
        axes.set_yticks([0.75, 1, 1.5, 2, 3, 5], ["0.75", "1", "1.5", "2", "3", "5"])
        axes.set_yticks([], minor=True)
        step = 4 if factor == "driver_age" else 2 if factor == "bonus" else 1
        axes.set_xticks(at[::step], levels[::step])
        for side in (axes, bars):
            side.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, ncols=3, loc="upper right")
    figure.suptitle("Relativities with 95% intervals; bars: exposure")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_check(test: pd.DataFrame, made: pd.DataFrame, order: dict, path: Path) -> None:
    """Premium by decile, Lorenz curve, and observed over expected claims."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12.5, 8.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2])
    lift, curve, ratio = (figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))
    table = by_decile(test, made)
    lift.plot(table.index, table["both"], color=BLUE, marker="o", label="asked: frequency x severity")
    lift.plot(table.index, table["Tweedie"], color=RED, marker="s", linestyle="--", label="asked: Tweedie")
    lift.errorbar(
        table.index,
        table["observed"],
        table["error"],
        fmt="D",
        color=DARK,
        markersize=4.5,
        capsize=3,
        label="paid, with 95% interval",
    )
    lift.set(xticks=table.index, xlabel="decile of the premium", ylabel="amount per year", ylim=(0, None))
    lift.legend(frameon=False)
    x, y, gini = lorenz(made["both"] / test["exposure"], test["exposure"], test["amount"])
    curve.fill_between(x, x, y, color=PALE)
    curve.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8, linestyle="--")
    curve.plot(x, y, color=BLUE)
    curve.set(xlabel="share of exposure, cheapest first", ylabel="share of amounts paid", xlim=(0, 1), ylim=(0, 1))
    factor = "department"
    rows = by_level(test, made["claims"], factor).reindex(order[factor])
    ratio.errorbar(
        np.arange(len(rows)), rows["ratio"], [rows["ratio"] - rows["low"], rows["high"] - rows["ratio"]], fmt="o"
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def quote(fits: dict[str, jg.Results]) -> None:
    """One new customer."""
    title("8. A quote")
    person = {"area": "C", "power": "7", "vehicle_age": "2", "driver_age": "25", "bonus": "14", "model": "12"}
    person |= {"fuel": "diesel", "department": "75", "exposure": 1.0}
    new = pd.DataFrame([person])
    log = {name: res.get_prediction(new, which="linear").summary_frame().iloc[0] for name, res in fits.items()}
    rows = {name: (row["mean"], row["mean_se"]) for name, row in log.items()}
    both = [log["frequency"], log["severity"]]
    rows["frequency x severity"] = sum(r["mean"] for r in both), np.sqrt(sum(r["mean_se"] ** 2 for r in both))
    for name, (eta, error) in rows.items():
        print(name, np.exp(eta), np.exp(eta - 1.96 * error), np.exp(eta + 1.96 * error))


def main() -> None:
    """Tell the whole story."""
    parser = argparse.ArgumentParser(description="Frequency, severity and pure premium of motor insurance.")
    parser.add_argument("folder", nargs="?", default="build", type=Path, help="where the pictures go")
    parser.add_argument("--policies", default=600_000, type=int, help=f"policies for the models, from {SMALLEST}")
    given = parser.parse_args()
    if given.policies < SMALLEST:
        parser.error(f"--policies must be at least {SMALLEST}: with fewer, some levels have no claim")
    df, test, order = portfolio(given.policies)
    look(df, test)
    frequency = fit_frequency(df)
    check_counts(frequency, df)
    fits = {"frequency": frequency, "severity": fit_severity(df), "tweedie": fit_tweedie(df)}
    tables = {name: relativities(fits[name]) for name in ("frequency", "severity")}
    tables |= {"both": relativities(fits["frequency"], fits["severity"]), "Tweedie": relativities(fits["tweedie"])}
    compare(tables, order)
    made = premiums(fits, test)
    check(fits, df, test, made)
    given.folder.mkdir(parents=True, exist_ok=True)
    draw_relativities(tables, df, order, given.folder / "insurance_relativities.png")
    draw_check(test, made, order, given.folder / "insurance_check.png")
    quote(fits)


if __name__ == "__main__":
    main()
