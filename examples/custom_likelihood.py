"""A likelihood of your own: write what one row costs, get the fit, its standard errors and its predictions.

Run from the root of the repository: python examples/custom_likelihood.py
"""

import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.scipy.special import gammaln
from jax.scipy.stats import norm as normal
from jax.scipy.stats import t as student
from scipy import stats

import jaxglm as jg

N = 800
END = 6.0
WIDTH = 92
#: What the simulated data are made with.
TRUTH = {
    ("log_scale", "Intercept"): 2.5,
    ("log_scale", "treated"): 0.5,
    ("log_scale", "age"): -0.02,
    ("log_shape", "Intercept"): 0.5,
    ("log_shape", "treated"): -0.3,
}


def weibull(y, eta, aux):
    """Negative log-likelihood of one time: the cumulative hazard, less the log hazard if the event was seen."""
    log_scale, log_shape = eta
    log_hazard_so_far = jnp.exp(log_shape) * (jnp.log(y) - log_scale)
    return jnp.exp(log_hazard_so_far) - aux["event"] * (log_shape + log_hazard_so_far - jnp.log(y))


def weibull_mean(eta, aux):
    """Mean time, censored or not."""
    return jnp.exp(eta[0] + gammaln(1 + jnp.exp(-eta[1])))


def weibull_cdf(y, eta, aux):
    """Probability of an event by y."""
    return -jnp.expm1(-jnp.exp(jnp.exp(eta[1]) * (jnp.log(y) - eta[0])))


def weibull_sample(key, eta, aux):
    """One time to the event."""
    return jnp.exp(eta[0] + jnp.exp(-eta[1]) * jnp.log(jax.random.exponential(key, dtype=eta.dtype)))


WEIBULL = jg.custom_family(
    weibull,
    predictors=("log_scale", "log_shape"),
    aux=("event",),
    mean=weibull_mean,
    cdf=weibull_cdf,
    sample=weibull_sample,
)


def title(text: str) -> None:
    """A heading."""
    print(f"\n## {text}\n")


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def show(table: pd.DataFrame) -> None:
    """A table, set in."""
    print(textwrap.indent(table.to_string(), "    "))


def patients() -> pd.DataFrame:
    """Simulated times to relapse, in years; who has none when the study ends is censored."""
    rng = np.random.default_rng(11)
    df = pd.DataFrame({"treated": rng.integers(0, 2, N), "age": rng.integers(40, 81, N)})
    b = TRUTH
    log_scale = b["log_scale", "Intercept"] + b["log_scale", "treated"] * df["treated"]
    log_scale += b["log_scale", "age"] * df["age"]
    shape = np.exp(b["log_shape", "Intercept"] + b["log_shape", "treated"] * df["treated"])
    time = np.exp(log_scale) * rng.weibull(shape)
    return df.assign(years=np.minimum(time, END), event=(time <= END).astype(int))


def fit(df: pd.DataFrame) -> jg.Results:
    """A formula for the scale, then one for the shape too."""
    title("1. One function, one call")
    plain = jg.glm("years ~ treated + age", df, family=WEIBULL)
    print(plain.summary())
    print()
    say("""The formula is that of the first predictor, log_scale; log_shape is a constant, estimated along. Standard
        errors are joint, from the observed information of all four. Next, a formula for each:""")
    title("2. A formula for the second predictor")
    res = jg.glm({"log_scale": "years ~ treated + age", "log_shape": "~ treated"}, df, family=WEIBULL)
    limits = res.conf_int()
    table = pd.DataFrame({"truth": pd.Series(TRUTH), "estimate": res.params, "SE": res.bse, **limits})
    show(table.loc[res.params.index].round(4).rename_axis([None, None]))
    gain = 2 * (res.llf - plain.llf)
    inside = ((table["lower"] <= table["truth"]) & (table["truth"] <= table["upper"])).sum()
    say(f"""{inside} of {len(table)} intervals hold the truth. The likelihood ratio of the two models is {gain:.2f} on
        1 degree of freedom, p = {stats.chi2.sf(gain, 1):.1e}: treatment changes the shape as well. AIC
        {plain.aic:.1f} and {res.aic:.1f}.""")
    return res


def differences(res: jg.Results, df: pd.DataFrame) -> None:
    """Standard errors without jaxglm."""
    title("3. The standard errors, checked by hand")
    y, event = df["years"].to_numpy(), df["event"].to_numpy()
    X = np.column_stack([np.ones(N), df["treated"], df["age"]])

    def loglik(b: np.ndarray) -> float:
        shape, scale = np.exp(X[:, :2] @ b[3:]), np.exp(X @ b[:3])
        seen = stats.weibull_min.logpdf(y, shape, scale=scale)
        return np.where(event == 1, seen, stats.weibull_min.logsf(y, shape, scale=scale)).sum()

    at, step = res.params.to_numpy(), np.diag(0.01 * res.bse.to_numpy())
    hessian = np.empty((5, 5))
    for i in range(5):
        for j in range(5):
            corners = [loglik(at + a * step[i] + b * step[j]) * a * b for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = sum(corners) / (4 * step[i, i] * step[j, j])
    by_hand = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    assert np.allclose(by_hand, res.bse, rtol=1e-3) and np.isclose(loglik(at), res.llf)
    say(f"""SciPy's Weibull log-likelihood at the estimates is {loglik(at):.4f}, llf is {res.llf:.4f}. Its Hessian by
        finite differences gives the standard errors {", ".join(f"{v:.4g}" for v in by_hand)}; those above are
        {", ".join(f"{v:.4g}" for v in res.bse)}.""")


def use(res: jg.Results, df: pd.DataFrame) -> None:
    """Predictions, draws, residuals."""
    title("4. Predictions, draws, residuals")
    new = pd.DataFrame({"treated": [0, 1], "age": [60, 60]})
    table = res.get_prediction(new).summary_frame(obs=False)
    table["truth"] = [stats.weibull_min.mean(np.exp(b), scale=np.exp(a)) for a, b in ((1.3, 0.5), (1.8, 0.2))]
    show(table.set_axis(["not treated", "treated"]).round(3))
    drawn = res.simulate(200, seed=1)
    say(f"""Means of the fit at age 60, with intervals by the delta method over both predictors. simulate() draws times
        without censoring: {(drawn > END).mean().mean():.1%} of them lie beyond the end of the study at {END:g} years,
        and {(df["event"] == 0).mean():.1%} of the patients were censored there.""")
    below = stats.norm.cdf(res.resid("quantile"))
    rest = np.random.default_rng(1).uniform(size=N)
    residual = stats.norm.ppf(np.where(df["event"] == 1, below, below + rest * (1 - below)))
    say(f"""From cdf= come quantile residuals. A censored row says only that its residual is at least this large, so
        draw it from what lies above: mean {residual.mean():.2f}, sd {residual.std():.2f} (0 and 1 if all is well).""")


def student_nll(y, eta, aux):
    """Regression with Student t errors of known degrees of freedom."""
    return -student.logpdf(y, aux["params"]["df"], loc=eta[0], scale=jnp.exp(eta[1]))


def known_numbers() -> None:
    """Numbers that are known go into params."""
    title("5. Known numbers: params=")
    rng = np.random.default_rng(3)
    df = pd.DataFrame({"x": rng.normal(size=400)})
    df["y"] = 1 + 2 * df["x"] + rng.standard_t(3, 400)
    rows = {}
    for degrees in (1.0, 3.0, 10.0, 100.0):
        family = jg.custom_family(student_nll, ("mean", "log_scale"), params={"df": degrees})
        res = jg.glm("y ~ x", df, family=family)
        rows[f"df = {degrees:g}"] = [res.params["x"], res.bse["x"], res.llf]
    show(pd.DataFrame.from_dict(rows, orient="index", columns=["slope of x", "SE", "log-likelihood"]).round(4))
    say("""Errors were drawn with 3 degrees of freedom and slope 2. The function is compiled once for all four fits,
        because only params differ.""")


def truncated(y, eta, aux):
    """Negative binomial given that y is at least 1."""
    mu, r = jnp.exp(eta[0]), jnp.exp(-eta[1])
    log_zero = -r * jnp.log1p(mu / r)
    log_chance = gammaln(y + r) - gammaln(r) - gammaln(y + 1) + log_zero + y * (eta[0] - jnp.log(r + mu))
    return jnp.where(y >= 1, jnp.log(-jnp.expm1(log_zero)) - log_chance, jnp.inf)


def without_zeros() -> None:
    """The stays in hospital of counts.py."""
    title("6. Counts that are never 0")
    df = pd.read_csv(Path(__file__).resolve().parent / "data" / "medpar.csv")
    family = jg.custom_family(truncated, ("log_mean", "log_alpha"))
    res = jg.glm("los ~ hmo + white + C(type)", df, family=family)
    usual = jg.glm("los ~ hmo + white + C(type)", df, family="negative_binomial")
    say(f"""Stays of 0 days are not recorded (see counts.py). The negative binomial given y >= 1 knows that: AIC
        {res.aic:.1f} instead of {usual.aic:.1f}, alpha {np.exp(res.params["log_alpha"]):.3f} instead of
        {usual.params["alpha"]:.3f}; emergencies {np.exp(res.params["C(type)[T.3]"]):.2f} instead of
        {np.exp(usual.params["C(type)[T.3]"]):.2f} times as long (before truncation).""")


def branch(y, eta, aux):
    """Wrong: Python's `if` on a value of the row."""
    return -normal.logpdf(y, eta[0]) if aux["event"] else -normal.logsf(y, eta[0])


def unnamed(y, eta, aux):
    """Wrong when `weight` is not declared in aux=."""
    return -aux["weight"] * normal.logpdf(y, eta[0])


def stopped(y, eta, aux):
    """Wrong: part of the slope is hidden from autodiff."""
    return -normal.logpdf(y, eta[0] + jax.lax.stop_gradient(0.1 * eta[0] ** 2))


def hidden_nan(y, eta, aux):
    """Wrong: the branch that is not taken has an infinite slope."""
    return jnp.where(y > 0, y * jnp.exp(-eta[0]) + eta[0], jnp.log(jnp.maximum(y, 0.0) * eta[0]))


def mistakes() -> None:
    """What the checks say."""
    title("7. Mistakes are caught when the family is made")
    for function, columns in ((branch, ("event",)), (unnamed, ()), (stopped, ()), (hidden_nan, ())):
        try:
            jg.custom_family(function, aux=columns)
        except jg.InputError as problem:
            print(textwrap.fill(f"- {function.__name__}: {problem}", WIDTH, subsequent_indent="  "))
    say("""The checks cannot know which likelihood you mean: a wrong sign or a forgotten term passes. Section 3 is the
        cure: compare with an independent log-likelihood, and fit data simulated with known truth.""")


def main() -> None:
    """Tell the whole story."""
    df = patients()
    say(f"""{N} simulated patients, followed for {END:g} years: {df["event"].sum()} relapses, the others censored.
        Weibull times; log_scale and log_shape may both depend on columns.""")
    res = fit(df)
    differences(res, df)
    use(res, df)
    known_numbers()
    without_zeros()
    mistakes()


if __name__ == "__main__":
    main()
