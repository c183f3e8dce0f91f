"""Who leaves, and who is sick? Two generalized linear models, read aloud.

Run with `make demo`, or from the root of the repository: python examples/attrition.py [folder for the picture]
"""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

import jaxglm as jg

N = 500
WIDTH = 92


def employees() -> pd.DataFrame:
    """500 simulated people; overtime drives both outcomes, salary drives sick days most."""
    np.random.seed(42)
    salary = np.random.normal(55000, 12000, N).astype(int)
    experience_years = np.random.poisson(5, N)
    overtime_hours = np.random.poisson(8, N)
    chance = 1 / (1 + np.exp(-(-2 - 3e-5 * salary - 0.05 * experience_years + 0.12 * overtime_hours)))
    left = np.random.binomial(1, chance)
    sick_days = np.random.poisson(np.exp(1.2 + 1e-5 * salary + 0.02 * overtime_hours))
    return pd.DataFrame(
        {
            "salary": salary,
            "experience_years": experience_years,
            "overtime_hours": overtime_hours,
            "left": left,
            "sick_days": sick_days,
        }
    )


def title(text: str) -> None:
    """A heading."""
    print(f"\n## {text}\n")


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def point(text: str) -> None:
    """An item of a list."""
    print(textwrap.fill(" ".join(text.split()), WIDTH, initial_indent="- ", subsequent_indent="  "))


def ratio(res: jg.Results, name: str, units: float) -> tuple[float, float, float]:
    """What `units` more of a column multiply the odds or the rate by, with a 95% interval."""
    low, high = res.conf_int().loc[name]
    return tuple(np.exp(units * np.array([res.params[name], low, high])))


def reading(res: jg.Results, name: str, units: float, what: str, of: str) -> str:
    """A sentence on one ratio."""
    estimate, low, high = ratio(res, name, units)
    change = f"{abs(estimate - 1):.0%} {'higher' if estimate > 1 else 'lower'}"
    verdict = (
        "The interval leaves out 1, so chance alone is an unlikely explanation."
        if low > 1 or high < 1
        else "The interval holds 1 (no effect), so these data do not settle the direction."
    )
    return f"{what}: {of} times {estimate:.2f} (95% interval {low:.2f} to {high:.2f}), that is {change}. {verdict}"


def fit_left(df: pd.DataFrame) -> jg.Results:
    """The logistic model, and how to read it."""
    title("1. Who leaves? A yes or no: logistic regression")
    res = jg.glm("left ~ salary + experience_years + overtime_hours", df, family="binomial")
    print(res.summary())
    print()
    say("""An odds ratio says what one step of a column multiplies the odds of leaving by (odds = p / (1 - p)), with
        the other columns held where they are. 1 means no effect. For steps of a useful size:""")
    point(reading(res, "overtime_hours", 5, "5 more overtime hours", "odds"))
    point(reading(res, "experience_years", 5, "5 more years of experience", "odds"))
    point(reading(res, "salary", 10_000, "10,000 more salary", "odds"))
    hours = [5, 10]
    typical = df.drop(columns=["left", "sick_days"]).mean()
    people = pd.DataFrame([typical, typical]).assign(overtime_hours=hours)
    chance = res.predict(people).to_numpy()
    say(f"""In probabilities, for a person who is average otherwise: {chance[0]:.1%} leave at {hours[0]} overtime
        hours, {chance[1]:.1%} at {hours[1]}.""")
    return res


def fit_sick_days(df: pd.DataFrame) -> jg.Results:
    """The Poisson model, and how to read it."""
    title("2. How many sick days? A count: Poisson regression")
    res = jg.glm("sick_days ~ salary + overtime_hours", df, family="poisson")
    print(res.summary())
    print()
    say("A rate ratio says what a step multiplies the expected number of sick days by:")
    point(reading(res, "overtime_hours", 5, "5 more overtime hours", "sick days"))
    point(reading(res, "salary", 10_000, "10,000 more salary", "sick days"))
    return res


def check(left: jg.Results, sick: jg.Results, df: pd.DataFrame) -> None:
    """Overdispersion and residuals in plain words."""
    title("3. Can the models be trusted?")
    dispersion = sick.pearson_chi2 / sick.df_resid
    slack = 2 * np.sqrt(2 / sick.df_resid)
    verdict = (
        "That is within chance, so the standard errors above hold."
        if abs(dispersion - 1) < slack
        else "The counts scatter more than Poisson counts do, so the standard errors above are too small."
        if dispersion > 1
        else "The counts scatter less than Poisson counts do, so the standard errors above are too large."
    )
    point(f"""Overdispersion of sick days: Pearson chi2 / df = {dispersion:.3f}. A Poisson count varies as much as its
        mean, which would give about 1 (here within {1 - slack:.2f} to {1 + slack:.2f}). {verdict}""")
    point("""Overdispersion of leaving is not judged: a single 0 or 1 has no spread of its own beyond p (1 - p), so
        chi2 / df says nothing about it.""")
    large = sick.resid("pearson").abs()
    point(f"""Residuals of sick days: {(large > 2).mean():.1%} of the people lie more than 2 standard deviations from
        their expected count (about 5% is normal). The three largest:""")
    print(worst(sick, df, ["salary", "overtime_hours", "sick_days"]))
    large = left.resid("pearson").abs()
    stayed = int((df.loc[large.index[large > 2], "left"] == 0).sum()) or "none"
    point(f"""Residuals of leaving: {int((large > 2).sum())} of {len(df)} have |Pearson| > 2; {stayed} of these
        stayed. With {df["left"].mean():.1%} leavers that has to be so: for each of them, leaving was unlikely.""")
    print(worst(left, df, ["salary", "experience_years", "overtime_hours", "left"]))


def worst(res: jg.Results, df: pd.DataFrame, columns: list[str]) -> str:
    """The three rows with the largest residuals."""
    residual = res.resid("pearson")
    rows = residual.abs().nlargest(3).index
    table = df.loc[rows, columns].assign(expected=res.fittedvalues[rows].round(3), pearson=residual[rows].round(2))
    return textwrap.indent(table.to_string(), "    ")


def wrong_families(sick: jg.Results, df: pd.DataFrame) -> None:
    """What ordinary least squares would have said."""
    title("4. What if we had used ordinary (Gaussian) regression?")
    linear = jg.glm("left ~ salary + experience_years + overtime_hours", df, family="gaussian")
    outside = linear.fittedvalues[(linear.fittedvalues < 0) | (linear.fittedvalues > 1)]
    row = outside.abs().idxmax()
    person = df.loc[row]
    point(f"""On left: {len(outside)} of {len(df)} predicted "probabilities" lie outside 0 to 1. Row {row} (salary
        {person["salary"]:,}, {person["experience_years"]} years, {person["overtime_hours"]} overtime hours) gets
        {outside[row]:.1%}. AIC cannot settle this one: a Gaussian density and the probability of a 0 or 1 are
        different things.""")
    straight = jg.glm("sick_days ~ salary + overtime_hours", df, family="gaussian")
    mean = straight.fittedvalues
    third = pd.qcut(mean, 3, labels=["lowest", "middle", "highest"])
    spread = straight.resid("response").groupby(third, observed=True).std()
    sigma = np.sqrt(straight.scale)
    point(f"""On sick_days: the model claims the same spread for everyone, {sigma:.2f} days. The data say
        {spread["lowest"]:.2f} days in the third with the lowest predictions and {spread["highest"]:.2f} in the highest.
        For the lowest prediction ({mean.min():.1f} days) its 95% range starts at
        {mean.min() - 1.96 * sigma:.1f} sick days.""")
    y, width = df["sick_days"], np.sqrt(straight.deviance / straight.nobs)
    mass = norm.cdf(y + 0.5, mean, width) - norm.cdf(y - 0.5, mean, width)
    # The dispersion counts as a parameter.
    aic = -2 * np.log(mass).sum() + 2 * (len(straight.params) + 1)
    point(f"""A fair AIC gives both models the same whole numbers to predict, so the Gaussian one gets its probability
        of y - 0.5 to y + 0.5: Poisson {sick.aic:.1f}, Gaussian {aic:.1f}. Lower is better.""")


def draw(left: jg.Results, folder: Path) -> None:
    """The picture of the logistic model."""
    folder.mkdir(parents=True, exist_ok=True)
    axes = left.plot.effect("overtime_hours")
    path = folder / "attrition.png"
    axes.figure.savefig(path, dpi=150)
    title("5. The picture")
    say(f"Probability of leaving against overtime hours, with its 95% band over the people as dots: {path}")


def main() -> None:
    """Tell the whole story."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    df = employees()
    say(f"""{len(df)} simulated employees: {df["left"].sum()} left ({df["left"].mean():.1%}); sick days range from
        {df["sick_days"].min()} to {df["sick_days"].max()} with mean {df["sick_days"].mean():.1f}.""")
    left = fit_left(df)
    sick = fit_sick_days(df)
    check(left, sick, df)
    wrong_families(sick, df)
    draw(left, folder)


if __name__ == "__main__":
    main()
