"""Models that are saved and loaded in tests, with data to predict for."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import jaxglm as jg


def frame(n: int = 90, seed: int = 4) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    x, z, t = r.gamma(2.0, size=n), r.normal(size=n), r.uniform(1, 5, n)
    f, g = r.choice(list("abc"), n), r.choice(["u", "v"], n)
    rate = t * np.exp(-0.4 + 0.2 * x + 0.3 * (f == "b"))
    return pd.DataFrame(
        {
            "x": x, "z": z, "t": t, "f": f, "g": g,
            "h": pd.Categorical(r.choice(list("pqrs"), n), categories=list("srqp")),
            "k": r.binomial(5, 1 / (1 + np.exp(-z))),
            "w": r.integers(0, 3, n).astype(float),
            "n": r.poisson(rate),
            "over": r.negative_binomial(2.0, 2.0 / (2.0 + rate)),
            "y": r.gamma(3.0, np.exp(0.2 * x) / 3.0),
            "left": np.where(r.random(n) < 1 / (1 + np.exp(-z)), "yes", "no"),
        }
    )  # fmt: skip


def half(x):
    return 0.5 * x


def ratio(x, y):
    return x / y


def student(y, eta, aux):
    from jax.scipy.stats import t

    return -t.logpdf(y, aux["params"]["df"], loc=eta[0], scale=jnp.exp(eta[1]))


def first(eta, aux):
    return eta[0]


def squared(mu):
    return mu**2


def guess(eta):
    return 0.2 + 0.8 * jax.nn.sigmoid(eta)


STUDENT = jg.custom_family(student, ("mean", "log_scale"), params={"df": 4.0}, mean=first)
GUESS = jg.Link.from_inverse(guess)
X = np.random.default_rng(9).normal(size=(60, 2))
OFFSET = np.linspace(-0.2, 0.3, 60)


def _counts():
    r = np.random.default_rng(2)
    return r.poisson(r.gamma(2.0, np.exp(0.4 + 0.3 * X[:, 0] + OFFSET) / 2.0)).astype(float)


@dataclass(frozen=True)
class Case:
    """A fit; `new` are the arguments of a prediction for new rows, `own` what has to be passed to load it."""

    fit: Any
    new: dict[str, Any] = field(default_factory=lambda: {"newdata": frame(7, 5)})
    own: dict[str, Any] = field(default_factory=dict)


def _formula(formula, family, **options):
    return lambda: jg.glm(formula, frame(), family, **options)


NEW_X = {"newdata": X[:5] + 0.1}
CASES = {
    "splines": Case(
        _formula("n ~ bs(x, df=5, extrapolation='extend') + ns(z, df=3) + C(f, Treatment('b')) * g + offset(log(t))",
                 "poisson")
    ),
    "counts": Case(
        _formula("cbind(k, 5 - k) ~ poly(z, 2) + scale(x):h + cut(x, [-1, 1, 3, 20]) + C(f, Sum)", "binomial")
    ),
    "joint": Case(
        _formula({"mean": "over ~ x + C(f, Helmert)", "dispersion": "~ g"}, "negative_binomial", exposure="t")
    ),
    "weights": Case(_formula("y ~ center(x) + log(t) + h", "gaussian", var_weights="w", missing="drop")),
    "labels": Case(_formula("left ~ z + I(x > 2)", "binomial", link="probit", information="observed")),
    "survey": Case(_formula("y ~ x + f", "gamma", prob_weights="t", link="log")),
    "functions": Case(
        _formula("y ~ half(x) + ratio(x, t)", "inverse_gaussian", link="log", functions={"half": half, "ratio": ratio}),
        own={"functions": {"half": half, "ratio": ratio}},
    ),
    "tweedie": Case(_formula("y ~ x", jg.Tweedie(power=1.6), use_t=False)),
    "student": Case(_formula("y ~ x + f", STUDENT), own={"family": STUDENT}),
    "quasi": Case(
        _formula("y ~ x", jg.Quasi(squared, "log")), own={"family": jg.Quasi(squared, "log")}
    ),
    "own link": Case(_formula("I(k / 5) ~ z", "binomial", link=GUESS, trials=np.full(90, 5.0)), own={"link": GUESS}),
    "arrays": Case(
        lambda: jg.fit(X, _counts(), "negative_binomial", offset=OFFSET, freq_weights=np.arange(60) % 3),
        {**NEW_X, "offset": 0.1},
    ),
    "known alpha": Case(
        lambda: jg.fit(pd.DataFrame(X, columns=["a", "b"]), _counts(), jg.NegativeBinomial(0.7), exposure=np.exp(OFFSET)),
        {"newdata": pd.DataFrame(X[:5], columns=["a", "b"]), "exposure": np.ones(5)},
    ),
    "power": Case(lambda: jg.fit(X, np.exp(0.1 * X[:, 0]) + 0.5, "gamma", link=jg.links.Power(0.5)), NEW_X),
    "separated": Case(lambda: jg.fit(X, X[:, 0] > 0.2, "binomial"), NEW_X),
    "aliased": Case(
        lambda: jg.fit(np.column_stack([X, X.sum(axis=1), np.zeros(60)]), X[:, 0] ** 2, names=list("abcd")),
        {"newdata": np.column_stack([X, X.sum(axis=1), np.zeros(60)])[:5]},
    ),
    "stream": Case(lambda: jg.glm("n ~ x + f", lambda: iter([frame(30, 1), frame(50, 2)]), "poisson")),
    "mixed": Case(_formula("n ~ x + f:z + C(h, Sum)", "poisson", precision="mixed", offset="z")),
    "single": Case(lambda: jg.fit(X, _counts(), "poisson", precision="float32"), NEW_X),
    "no intercept": Case(lambda: jg.fit(np.asfortranarray(X), X[:, 0], intercept=False, use_t=True), NEW_X),
}  # fmt: skip
