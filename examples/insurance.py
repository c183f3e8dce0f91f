"""What should motor insurance cost? Frequency, severity and pure premium of simulated policies, checked on others.

Run from the root of a checkout (the policies come from benchmarks/insurance_data.py, which no package contains):
python examples/insurance.py [folder for the pictures] [--policies 600000]
"""

import argparse
import sys
import textwrap
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import chi2

import jaxglm as jg

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from insurance_data import FACTORS, SMALLEST, policies  # noqa: E402

#: The generator only numbers the levels; these names are ours.
NAMES = {"area": "ABCDEF", "fuel": ["electric", "petrol", "diesel"]}
NAMES |= {"driver_age": range(18, 81), "vehicle_age": range(15)}
LEVELS = {f: [str(v) for v in NAMES.get(f, range(1, size + 1))] for f, (size, _) in FACTORS.items()}
SHOWN = {"driver_age": ["18", "25", "80"], "bonus": ["1", "12", "24"], "vehicle_age": ["14"], "area": ["A", "C", "E"]}
RIGHT = " + ".join(FACTORS)
BLUE, RED, DARK, GRAY, MIDDLE, PALE = "#1f5f8b", "#c44e3b", "#2b2b2b", "#6b7178", "#b3bcc6", "#e3e7eb"
WIDTH = 98
STYLE = {"figure.figsize": (12.5, 8.8), "figure.constrained_layout.use": True, "savefig.dpi": 150}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
STYLE |= {"axes.titlelocation": "left", "axes.titlesize": 11}


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def show(table: pd.DataFrame) -> None:
    """A table, set in."""
    print("\n".join("    " + line.rstrip() for line in table.to_string().splitlines()))


def portfolio(n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`n` policies for the models, and a quarter as many to check them on.

    The level with the most exposure comes first among the categories, which makes it the base of the tariff.
    """
    df = policies(n + n // 4)
    for name, levels in LEVELS.items():
        # Claims mostly rise with the number of the level; let the youngest drivers have most.
        named = df[name].cat.rename_categories(levels[::-1] if name == "driver_age" else levels)
        base = df["exposure"].groupby(named, observed=True).sum().idxmax()
        df[name] = named.cat.reorder_categories([base, *(level for level in levels if level != base)])
    # Rows are independent draws, so the last ones are as good as any.
    return df.iloc[:n], df.iloc[n:]


def look(df: pd.DataFrame, test: pd.DataFrame) -> None:
    """The portfolio in a few numbers."""
    print("\n## 1. The portfolio\n")
    years, claims, amount = df[["exposure", "claims", "amount"]].sum()
    rate = df.groupby("bonus", observed=True)[["claims", "exposure"]].sum().pipe(lambda t: t["claims"] / t["exposure"])
    say(f"""{len(df):,} simulated policies with {len(FACTORS)} factors of {sum(n for n, _ in FACTORS.values())} levels:
        {years:,.0f} years of exposure, {claims:,.0f} claims. Frequency {claims / years:.4f} a year, mean claim
        {amount / claims:,.0f}, pure premium {amount / years:.2f} a year; {(df["claims"] > 0).mean():.1%} of the
        policies have a claim. By bonus class the frequency goes from {rate.min():.3f} (class {rate.idxmin()}) to
        {rate.max():.3f} (class {rate.idxmax()}), other factors left aside. {len(test):,} further policies are kept
        for section 6. This example gives the levels their names; the market behind them is made up.""")


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
    print("\n## 2. Frequency: Poisson, log link, exposure in years\n")
    res, seconds = timed(f"claims ~ {RIGHT}", df, family="poisson", exposure="exposure")
    lines = str(res.summary(exponentiate=True)).splitlines()
    rows = [i for i, line in enumerate(lines) if line.startswith(tuple(FACTORS))]
    kept = [lines[i] for i in rows if lines[i].startswith("fuel")]
    kept.append(f"... and {len(rows) - len(kept)} more rows")
    print("\n".join([*lines[: rows[0]], *kept, *lines[rows[-1] + 1 :], ""]))
    say(f"""The fit took {seconds}: the difference is compilation, which jg.enable_compile_cache() keeps for later
        runs. The Intercept is the frequency of the base policy, which has the level with the most exposure in every
        factor; a rate ratio says what another level multiplies it by.""")
    return res


def check_counts(res: jg.Results, df: pd.DataFrame) -> None:
    """Overdispersion, with the scatter that chance gives rare counts."""
    print("\n## 3. Do the counts vary more than Poisson counts?\n")
    mu, phi = res.fittedvalues, res.pearson_chi2 / res.df_resid
    slack = 1.96 * np.sqrt((2 + 1 / mu).sum()) / res.df_resid
    # A fit takes up some of the scatter: the leverage of each row, which is mu se(eta)^2, says how much (Dean 1992).
    leverage = mu * res.get_prediction(df, which="linear").se ** 2
    square = (mu**2).sum()
    alpha, error = ((df["claims"] - mu) ** 2 - df["claims"] + leverage * mu).sum() / square, np.sqrt(2 / square)
    most = max(alpha + 1.96 * error, 0)
    verdict = "Both are what Poisson counts give, so the standard errors above stand."
    if abs(phi - 1) > slack or abs(alpha) > 1.96 * error:
        verdict = "That is not what Poisson counts give; use quasi-Poisson, or if alpha is positive, negative binomial."
    say(f"""Pearson chi2 / df = {phi:.3f}. Counts as rare as these (mean {mu.mean():.3f}) make it scatter far more than
        the usual sqrt(2 / df): Poisson gives 1 within {slack:.3f}. A sharper look is at the squares that exceed the
        Poisson variance: in a variance of mu + alpha mu^2 they put alpha at {alpha:.3f} with standard error
        {error:.3f}, and Poisson has 0. {verdict} Quasi-Poisson would multiply every standard error by
        sqrt({phi:.3f}) = {np.sqrt(phi):.3f}; a negative binomial, even with alpha at the upper end, {most:.3f}, by
        about {np.sqrt(1 + most * mu.mean()):.3f}. Real portfolios mostly vary more, as drivers differ unseen.""")


def fit_severity(df: pd.DataFrame, frequency: jg.Results) -> jg.Results:
    """The mean claim of policies with claims."""
    print("\n## 4. Severity: Gamma, log link, weighted with the number of claims\n")
    claimed = df[df["claims"] > 0]
    res, seconds = timed(f"severity ~ {RIGHT}", claimed, family="gamma", link="log", var_weights="claims")
    ratio = (res.bse / frequency.bse).median()
    say(f"""{len(claimed):,} policies with {claimed["claims"].sum():,.0f} claims; {seconds}. The response is the mean
        claim of a policy, and a mean of k claims is k times as precise as one: hence var_weights="claims". The
        estimated scale, {res.scale:.3f}, is the squared coefficient of variation of a single claim. Where it is 1,
        severity is known as well as frequency: the standard errors are {ratio:.2f} times those of section 2 in the
        median. Real claims, with their large losses, vary more.""")
    return res


def fit_tweedie(df: pd.DataFrame) -> jg.Results:
    """Frequency and severity in one model."""
    print("\n## 5. Pure premium: frequency x severity, or one Tweedie model\n")
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


def of_factor(table: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The rows of one factor in the order of its levels, with 1 for the base."""
    rows = table.reindex([f"{factor}[T.{level}]" for level in LEVELS[factor]]).set_axis(LEVELS[factor])
    assert rows.isna().all(axis=1).sum() == 1, "only the base has no coefficient"
    return rows.fillna(1.0)


def compare(tables: dict[str, pd.DataFrame]) -> None:
    """The relativities of all models side by side."""
    shown = {}
    for name, table in tables.items():
        rows = pd.concat([of_factor(table, factor).loc[levels] for factor, levels in SHOWN.items()])
        limits = [f"({low:.2f} to {high:.2f})" if low < high else "(base)" for _, low, high in rows.to_numpy()]
        texts = rows["estimate"].map("{:.2f} ".format) + pd.Series(limits, rows.index).str.ljust(14)
        shown[name] = texts.set_axis([f"{factor} {level}" for factor in SHOWN for level in SHOWN[factor]])
    show(pd.DataFrame(shown))
    wide = {name: np.log(table["conf_high"] / table["conf_low"]).iloc[1:] for name, table in tables.items()}
    both, tweedie = tables["both"]["estimate"], tables["Tweedie"]["estimate"]
    gap = np.abs(np.log(tweedie / both)).iloc[1:].median()
    say(f""""both" is frequency x severity. The two ways differ by {gap:.1%} in the median coefficient. Tweedie's
        intervals are {(wide["Tweedie"] / wide["both"]).median():.2f} times as wide, and only approximate: one phi
        serves all policies, though sums of such claims have phi = 2 sqrt(severity / frequency), which differs.""")


def premiums(fits: dict[str, jg.Results], df: pd.DataFrame) -> pd.DataFrame:
    """Expected claims, and pure premium of each policy for the time it was insured, both ways."""
    claims, mean, yearly = (fits[name].predict(df) for name in ("frequency", "severity", "Tweedie"))
    return pd.DataFrame({"expected": claims, "both": claims * mean, "Tweedie": yearly * df["exposure"]})


def lorenz(rank: np.ndarray, exposure: pd.Series, amount: pd.Series) -> tuple[np.ndarray, np.ndarray, float]:
    """Shares of exposure and of amounts of policies in the order `rank`, and the Gini index between them."""
    x, y = (np.append(0, v.to_numpy()[rank].cumsum() / v.sum()) for v in (exposure, amount))
    return x, y, 1 - 2 * np.trapezoid(y, x)


def observed(df: pd.DataFrame, expected: pd.Series, by: str | np.ndarray) -> pd.DataFrame:
    """Observed over expected claims of each level, with exact 95% limits, and the exposure."""
    table = df[["exposure", "claims"]].assign(expected=expected)
    table = table.groupby(df[by] if isinstance(by, str) else by, observed=True).sum()
    claims = table["claims"]
    limits = {"low": chi2.ppf(0.025, 2 * claims), "high": chi2.ppf(0.975, 2 * claims + 2)}
    limits = {name: np.nan_to_num(limit) / 2 / table["expected"] for name, limit in limits.items()}
    return table.assign(ratio=claims / table["expected"], **limits)


def by_decile(test: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Claims, and amounts per year, of tenths of the exposure in ascending order of the premium."""
    rank = np.argsort(made["both"] / test["exposure"], kind="stable")
    until = test["exposure"].iloc[rank].cumsum() / test["exposure"].sum()
    table = test[["exposure", "claims", "amount"]].join(made).assign(error=test["amount"] ** 2)
    table = table.groupby(np.minimum(10 * until, 9).astype(int) + 1).sum()
    # The amount is a compound Poisson sum, whose variance the squared amounts add up to.
    table["error"] = 1.96 * np.sqrt(table["error"])
    money = table[["amount", "error", "both", "Tweedie"]].div(table["exposure"], axis=0)
    return table[["claims", "expected"]].join(money)


def check(fits: dict[str, jg.Results], df: pd.DataFrame, test: pd.DataFrame, made: pd.DataFrame) -> None:
    """Totals, levels and deciles."""
    print("\n## 6. Does it hold for policies that the models have not seen?\n")
    own = premiums(fits, df)
    paid, asked = df["amount"].sum(), own[["both", "Tweedie"]].sum()
    gap = max(observed(df, own["expected"], factor)["ratio"].sub(1).abs().max() for factor in FACTORS)
    say(f"""On the policies of the fit, expected claims equal the observed ones in every level of every factor (largest
        gap {gap:.0e}): Poisson with its log link cannot do otherwise, so that proves nothing. The premiums need not
        add up: frequency x severity is {asked["both"] / paid - 1:+.2%} off what was paid, Tweedie
        {asked["Tweedie"] / paid - 1:+.2%}. The policies kept aside can tell more.""")
    levels = pd.concat([observed(test, made["expected"], factor) for factor in FACTORS])
    inside = ((levels["low"] <= 1) & (levels["high"] >= 1)).mean()
    total = observed(test, made["expected"], np.zeros(len(test))).iloc[0]
    paid = test["amount"].sum()
    chance = 1.96 * np.sqrt(sum((d["amount"] ** 2).sum() / d["amount"].sum() ** 2 for d in (df, test)))
    say(f"""Claims observed / expected: {total["ratio"]:.3f} (95% interval {total["low"]:.3f} to
        {total["high"]:.3f}). Level by level, such intervals hold 1 in {inside:.0%} of {len(levels)} levels;
        92% would be right, as the expected are estimates too, from four times as many policies. Paid / asked:
        {paid / made["both"].sum():.3f} (frequency x severity), {paid / made["Tweedie"].sum():.3f} (Tweedie), where
        chance allows 1 +- {chance:.3f}. By tenths of the exposure, from the lowest premium per year to the highest:""")
    names = ["claims", "claims expected", "paid per year", "95% interval, +-", "frequency x severity", "Tweedie"]
    show(by_decile(test, made).T.rename_axis(columns=None).set_axis(names).map("{:.0f}".format))
    seen = test.assign(rate=made["expected"] / test["exposure"])
    res = jg.glm("claims ~ log(rate)", seen, family="poisson", exposure="exposure")
    low, high = res.conf_int().loc["log(rate)"]
    say(f"""Slope of the log frequency in its prediction: {res.params["log(rate)"]:.3f} (95% interval {low:.3f} to
        {high:.3f}). 1 is right; below it the relativities are too far from 1, as happens with few claims in a level,
        and should be shrunk.""")


def rank(df: pd.DataFrame, test: pd.DataFrame, made: pd.DataFrame) -> dict[str, tuple]:
    """How well the premiums tell good risks from bad: Lorenz curves, and Gini indices with bootstrap errors."""
    bonus = df.groupby("bonus", observed=True)[["amount", "exposure"]].sum()
    one_way = test["bonus"].map(bonus["amount"] / bonus["exposure"]).astype(float)
    prices = {name: made[name] / test["exposure"] for name in ("both", "Tweedie")} | {"bonus": one_way}
    ranks = {name: np.argsort(price.to_numpy(), kind="stable") for name, price in prices.items()}
    curves = {name: lorenz(order, test["exposure"], test["amount"]) for name, order in ranks.items()}
    rng, drawn = np.random.default_rng(1), []
    for _ in range(100):
        often = rng.poisson(1.0, len(test))
        drawn.append([lorenz(order, test["exposure"] * often, test["amount"] * often)[2] for order in ranks.values()])
    drawn = np.array(drawn)
    say(f"""Gini index (0: the premium ranks risks no better than chance): {curves["both"][2]:.3f} for frequency x
        severity, {curves["Tweedie"][2]:.3f} for Tweedie (bootstrap standard error {drawn[:, 0].std():.3f}, of the
        difference {(drawn[:, 0] - drawn[:, 1]).std():.4f}); {curves["bonus"][2]:.3f} for bonus classes alone.""")
    return curves


def under(axes, exposure: pd.Series, low: float, high: float, base: str = "") -> None:
    """Exposure of each level as bars, below values that go from `low` to `high`."""
    share, log = exposure / exposure.sum(), axes.get_yscale() == "log"
    bottom = low * (low / high) ** 0.3 if log else low - 0.3 * (high - low)
    at, bars = np.arange(len(share)), axes.twinx()
    bars.bar(at, share, width=0.8, color=[MIDDLE if level == base else PALE for level in share.index])
    bars.set(ylim=(0, 4.6 * share.max()), yticks=[0, share.max()], yticklabels=["0", f"{share.max():.0%}"])
    bars.tick_params(colors=GRAY, length=2, labelsize=8)
    bars.spines[:].set_visible(False)
    axes.set_zorder(bars.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.axhline(1, color=GRAY, linewidth=0.8, linestyle="--", zorder=0)
    axes.set(ylim=(bottom, high), xlim=(-0.7, len(share) - 0.3))
    step = 1 + len(share) // 20
    axes.set_xticks(at[::step], share.index[::step])
    marks = np.array([0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.6, 2, 2.5, 3, 4] if log else np.arange(0, 2.6, 0.25))
    marks = marks[(marks >= low) & (marks <= high)]
    axes.set_yticks(marks, [f"{mark:.3g}" for mark in marks])
    axes.set_yticks([], minor=True)


def draw_tariff(tables: dict[str, pd.DataFrame], df: pd.DataFrame, path: Path) -> None:
    """Relativities of four factors over the exposure of their levels."""
    figure = plt.figure()
    grid = figure.add_gridspec(2, 3, width_ratios=[24, 16, 9])
    places = {"driver_age": grid[0, :], "bonus": grid[1, 0], "vehicle_age": grid[1, 1], "area": grid[1, 2]}
    styles = {"frequency": (BLUE, "o", -0.17), "severity": (RED, "s", 0.17)}
    parts = {(n, f): of_factor(tables[n], f) for n in (*styles, "both") for f in places}
    drawn = pd.concat([rows if name != "both" else rows[["estimate"]] for (name, _), rows in parts.items()])
    low, high = drawn.min().min() / 1.05, drawn.max().max() * 1.05
    for factor, place in places.items():
        axes, at = figure.add_subplot(place, yscale="log"), np.arange(len(LEVELS[factor]))
        exposure = df.groupby(factor, observed=True)["exposure"].sum()
        under(axes, exposure[LEVELS[factor]], low, high, df[factor].cat.categories[0])
        style = {"linestyle": "none" if factor == "area" else "-", "linewidth": 0.8, "color": DARK}
        style |= {"marker": "_", "markersize": 9, "label": "pure premium (frequency × severity)"}
        axes.plot(at, parts["both", factor]["estimate"], **style)
        for name, (color, mark, shift) in styles.items():
            rows = parts[name, factor]
            axes.vlines(at + shift, rows["conf_low"], rows["conf_high"], color=color, linewidth=1.5)
            axes.plot(at + shift, rows["estimate"], mark, color=color, markersize=4.2, label=name)
        axes.set_title(factor.replace("_", " ").capitalize())
    figure.axes[0].legend(ncols=3, loc="upper right")
    figure.supylabel("relativity, with 95% interval (log scale)", fontsize=10)
    figure.supxlabel(
        "Bars: share of the exposure; the dark one is the base, whose relativity is 1", fontsize=9, color=GRAY
    )
    figure.savefig(path)
    plt.close(figure)


def draw_check(test: pd.DataFrame, made: pd.DataFrame, curves: dict, path: Path) -> None:
    """Premium by decile, Lorenz curves, and observed over expected claims."""
    figure = plt.figure()
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2])
    lift, curve, level = (figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))
    table = by_decile(test, made)
    lift.plot(table.index, table["both"], "o-", color=BLUE, label="asked: frequency × severity")
    lift.plot(table.index, table["Tweedie"], "s", color=RED, fillstyle="none", markersize=9, label="asked: Tweedie")
    paid, label = (table.index + 0.15, table["amount"], table["error"]), "paid, with 95% interval"
    lift.errorbar(*paid, fmt="D", color=DARK, markersize=4, capsize=3, label=label)
    lift.set(yscale="log", xticks=table.index, title="Premium asked and amount paid, on policies kept aside")
    lift.set(xlabel="tenth of the exposure, by premium", ylabel="amount per year (log scale)")
    lift.set_yticks([25, 50, 100, 200, 400, 800], ["25", "50", "100", "200", "400", "800"])
    lift.set_yticks([], minor=True)
    lift.legend()
    curve.fill_between(curves["both"][0], *curves["both"][:2], color=PALE, linewidth=0)
    curve.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8, linestyle="--")
    for name, label, color in (("both", "frequency × severity", BLUE), ("bonus", "bonus class alone", RED)):
        x, y, gini = curves[name]
        curve.plot(x, y, color=color, label=f"{label}: {gini:.3f}")
    curve.set(xlabel="share of exposure, lowest premium first", ylabel="share of the amounts paid")
    curve.set(xlim=(0, 1), ylim=(0, 1), title="How well the premium ranks")
    curve.legend(title="Gini index", alignment="left", loc="upper left")
    rows = observed(test, made["expected"], "department").loc[LEVELS["department"]]
    out = ((rows["low"] > 1) | (rows["high"] < 1)).to_numpy()
    under(level, rows["exposure"], 0.9 * rows["low"].min(), min(1.02 * rows["high"].max(), 2.6))
    for chosen, color, label in ((~out, BLUE, "interval holds 1"), (out, RED, "interval does not hold 1")):
        at, some = np.flatnonzero(chosen), rows[chosen]
        level.vlines(at, some["low"], some["high"], color=color, linewidth=1.5)
        level.plot(at, some["ratio"], "o", color=color, markersize=4, label=f"{label}: {len(some)} departments")
    level.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))
    level.set(
        title="Claims by department", xlabel="department; bars: share of the exposure", ylabel="observed / expected"
    )
    figure.savefig(path)
    plt.close(figure)


def quote(fits: dict[str, jg.Results]) -> None:
    """One new customer."""
    print("\n## 7. A quote\n")
    person = {"area": "E", "power": "7", "vehicle_age": "2", "driver_age": "22", "bonus": "14", "model": "12"}
    new = pd.DataFrame([person | {"fuel": "diesel", "department": "75", "exposure": 1.0}])
    rows = {
        name: fit.get_prediction(new).summary_frame(obs=False).iloc[0, [0, 2, 3]].to_list()
        for name, fit in fits.items()
    }
    log = [fits[name].get_prediction(new, which="linear") for name in ("frequency", "severity")]
    mean, error = sum(part.predicted[0] for part in log), np.hypot(*(part.se[0] for part in log))
    rows["frequency x severity"] = list(np.exp(mean + error * np.array([0, -1.96, 1.96])))
    rows["Tweedie"] = rows.pop("Tweedie")
    text = {name: [f"{v:.4f}" if name == "frequency" else f"{v:,.0f}" for v in row] for name, row in rows.items()}
    show(pd.DataFrame.from_dict(text, orient="index", columns=["expected", "from", "to"]))
    say(f"""For a driver of 22 in area E with a vehicle 2 years old in bonus class 14, insured for a year. The limits
        (95%) are those of the expected values, from which a premium is made; the year itself will be far from them:
        without a claim with probability {np.exp(-rows["frequency"][0]):.0%}, and otherwise about
        {rows["severity"][0]:,.0f} a claim. Costs and margin come on top.""")


def main() -> None:
    """Tell the whole story."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="build", type=Path, help="where the pictures go")
    parser.add_argument("--policies", default=600_000, type=int, help=f"how many to fit, at least {SMALLEST:,}")
    given = parser.parse_args()
    if given.policies < SMALLEST:
        parser.error(f"--policies must be at least {SMALLEST:,}; with fewer, some levels would have no claim")
    df, test = portfolio(given.policies)
    look(df, test)
    fits = {"frequency": fit_frequency(df)}
    check_counts(fits["frequency"], df)
    fits["severity"] = fit_severity(df, fits["frequency"])
    fits["Tweedie"] = fit_tweedie(df)
    tables = {name: relativities(fits[name]) for name in ("frequency", "severity")}
    tables |= {"both": relativities(fits["frequency"], fits["severity"]), "Tweedie": relativities(fits["Tweedie"])}
    compare(tables)
    made = premiums(fits, test)
    check(fits, df, test, made)
    curves = rank(df, test, made)
    plt.rcParams.update(STYLE)
    given.folder.mkdir(parents=True, exist_ok=True)
    tariff, checked = (given.folder / f"insurance_{name}.png" for name in ("tariff", "check"))
    draw_tariff(tables, df, tariff)
    draw_check(test, made, curves, checked)
    print(f"\nRelativities of four factors and the exposure of their levels: {tariff}")
    print(f"Premiums, ranking and claims by department on the policies kept aside: {checked}")
    quote(fits)


if __name__ == "__main__":
    main()
