"""A likelihood of your own in one function: survival times, some of them censored.

Run from the root of the repository: python examples/custom_likelihood.py
"""

import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.scipy.special import gammaln
from jax.scipy.stats import t

import jaxglm as jg

N = 600
WIDTH = 92
TRUTH = {"Intercept": 2.0, "dose": 0.6, "old": -0.5, "log_shape": np.log(1.6)}


def patients() -> pd.DataFrame:
    """Simulated times to relapse in months; the study ends after 12, when not everybody has had one."""
    rng = np.random.default_rng(3)
    dose, old = rng.uniform(0.0, 2.0, N), rng.integers(0, 2, N)
    scale = np.exp(TRUTH["Intercept"] + TRUTH["dose"] * dose + TRUTH["old"] * old)
    time = scale * rng.weibull(np.exp(TRUTH["log_shape"]), N)
    return pd.DataFrame({"months": np.minimum(time, 12.0), "relapse": (time < 12.0) * 1.0, "dose": dose, "old": old})


def weibull(y, eta, aux):
    """Negative log-likelihood of one row; eta holds the logs of scale and shape."""
    log_scale, log_shape = eta
    z = jnp.exp(log_shape) * (jnp.log(y) - log_scale)
    # A relapse adds the log density, a censored time the log probability of a longer one.
    return jnp.exp(z) - aux["relapse"] * (z + log_shape - jnp.log(y))


def weibull_mean(eta, aux):
    """scale * Gamma(1 + 1 / shape)."""
    return jnp.exp(eta[0] + gammaln(1.0 + jnp.exp(-eta[1])))


def weibull_draw(key, eta, aux):
    """A time without censoring, by inverting the distribution function."""
    return jnp.exp(eta[0] + jnp.exp(-eta[1]) * jnp.log(jax.random.exponential(key)))


def student(y, eta, aux):
    """Regression with heavy tails; the degrees of freedom are known."""
    return -t.logpdf(y, aux["params"]["df"], loc=eta[0], scale=jnp.exp(eta[1]))


def title(text: str) -> None:
    """A heading."""
    print(f"\n## {text}\n")


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def survival(data: pd.DataFrame, family: jg.Family) -> jg.Results:
    """Fit, and compare with the truth."""
    res = jg.glm("months ~ dose + old", data, family=family)
    print(res.summary())
    title("Estimates beside the truth")
    table = res.tidy(conf_int=True).set_index("term")
    table.insert(0, "truth", pd.Series(TRUTH))
    table["inside"] = (table.conf_low < table.truth) & (table.truth < table.conf_high)
    print(table[["truth", "estimate", "std_error", "conf_low", "conf_high", "inside"]].round(3))
    return res


def finite_difference_errors(data: pd.DataFrame, b: np.ndarray) -> np.ndarray:
    """Standard errors from second differences of the log-likelihood, written in NumPy alone."""
    x = np.column_stack([np.ones(N), data.dose, data.old])

    def nll(b):
        z = np.exp(b[3]) * (np.log(data.months) - x @ b[:3])
        return np.sum(np.exp(z) - data.relapse * (z + b[3] - np.log(data.months)))

    def second(u, v):
        return nll(b + u + v) - nll(b + u - v) - nll(b - u + v) + nll(b - u - v)

    steps = 1e-4 * np.eye(4)
    hessian = np.array([[second(u, v) for u in steps] for v in steps]) / 4e-8
    return np.sqrt(np.diag(np.linalg.inv(hessian)))


def main() -> None:
    data = patients()
    title("Time to relapse")
    say(f"""{N} simulated patients, watched for 12 months; {int(data.relapse.sum())} relapsed, the others are known to
        have had longer. The likelihood is one function of a row; the second predictor, log(shape), has no formula, so
        it is one constant with a standard error of its own.""")
    print()
    family = jg.custom_family(
        weibull, ("log_scale", "log_shape"), aux=("relapse",), mean=weibull_mean, sample=weibull_draw
    )
    res = survival(data, family)
    off = np.max(np.abs(res.bse / finite_difference_errors(data, res.params.to_numpy()) - 1))
    print()
    say(f"""The standard errors come from the exact joint Hessian. Second differences in NumPy give the same to
        {off:.0e}.""")

    title("Mean time without relapse, with an interval")
    new = pd.DataFrame({"dose": [0.0, 1.0, 2.0], "old": 0})
    print(new.join(res.get_prediction(new).summary_frame().round(2)))
    say("The interval uses the uncertainty of both predictors, because the mean depends on both.")

    title("Does the shape depend on age?")
    both = jg.glm({"log_scale": "months ~ dose + old", "log_shape": "~ old"}, data, family=family)
    row = both.tidy().set_index(["predictor", "term"]).loc[("log_shape", "old")]
    say(f"""With a formula of its own, log(shape) changes by {row.estimate:.3f} (p = {row.p_value:.2f}) for the old; AIC
        goes from {res.aic:.1f} to {both.aic:.1f}. The data were made with one shape, and the test has nothing against
        it.""")

    title("What the model would have seen")
    beyond = (res.simulate(200, seed=1) > 12).mean().mean()
    say(f"""In data sets drawn from the fit {beyond:.1%} of the times pass the end of the study; in the data
        {(data.relapse == 0).mean():.1%} did.""")

    title("Known numbers go into params")
    rng = np.random.default_rng(2)
    y = 1.0 + 2.0 * data.dose + 0.5 * rng.standard_t(3, N)
    for df in (3.0, 30.0):
        heavy = jg.custom_family(student, ("mean", "log_scale"), params={"df": df}, mean=lambda eta, aux: eta[0])
        fit = jg.fit(data[["dose"]], y, family=heavy)
        print(f"Student t, df = {df:>4g}: slope {fit.params['dose']:.3f} +- {fit.bse['dose']:.3f}, AIC {fit.aic:.1f}")

    title("A mistake is found when the family is made")
    try:
        jg.custom_family(lambda y, eta, aux: jnp.where(y > 0, eta[0] - jnp.log(y), jnp.sqrt(eta[0] - eta[0])))
    except jg.InputError as error:
        say(f"InputError: {error}")


if __name__ == "__main__":
    main()
