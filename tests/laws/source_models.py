"""Rows and models on which all sources are compared."""

import numpy as np

from jaxglm import families, links
from jaxglm.design import Categorical, Constant, Dense, Indicator, Layout, Split
from jaxglm.families import Family
from jaxglm.kernels import Model, Rows

#: Rows; neither a multiple of the chunks nor of the devices.
N = 201


def split() -> Split:
    """Intercept, two numbers, a factor of four levels in treatment coding, its slopes in a number."""
    levels = Indicator(np.array([-1, 0, 1, 2], np.int32), width=3)
    parts = (Constant(), Dense(2), Categorical(levels), Categorical(levels, scaled=True))
    return Split(parts, ((0,), (1, 5), (2, 3, 4), (6, 7, 8)))


def rows(family: Family, seed: int = 8) -> Rows:
    """Rows with weights of both kinds, an offset, and a response the family can have."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 2))
    codes = rng.integers(0, 4, N).astype(np.int32)
    z = rng.uniform(-1.0, 1.0, N)
    k = len(family.predictors)
    offset = rng.uniform(-0.2, 0.2, (N, k))
    eta = 0.3 * x[:, 0] - 0.2 * x[:, 1] + 0.2 * (codes == 1) + offset[:, 0]
    trials = rng.integers(1, 9, N).astype(float)
    y, aux = {
        "gaussian": lambda: (eta + rng.normal(size=N), {}),
        "binomial": lambda: (rng.binomial(trials.astype(int), 0.3 + 0.1 * np.tanh(eta)) / trials, {"trials": trials}),
        "poisson": lambda: (rng.poisson(np.exp(eta + 0.5)).astype(float), {}),
        "gamma": lambda: (rng.gamma(2.0, np.exp(eta) / 2.0) + 1e-3, {}),
        "inverse_gaussian": lambda: (rng.wald(np.exp(eta), 3.0), {}),
        "negative_binomial": lambda: (rng.negative_binomial(1.5, 1.5 / (1.5 + np.exp(eta + 1.0))).astype(float), {}),
    }[family.name]()
    design, dispersion = ((), x, codes, (codes, z)), ((), x[:, :1])
    prior, freq = rng.uniform(0.5, 2.0, N), rng.integers(1, 4, N).astype(float)
    codes = {"firm": rng.integers(0, 30, N).astype(np.int32), "year": rng.integers(0, 8, N).astype(np.int32)}
    return Rows(x=(design, dispersion)[:k], y=y, freq=freq, prior=prior, offset=offset, aux=aux, codes=codes)


MODELS = {
    "gaussian": families.Gaussian(),
    "binomial": families.Binomial(links.CLogLog()),
    "poisson": families.Poisson(),
    "gamma": families.Gamma(links.Log()),
    "inverse_gaussian": families.InverseGaussian(links.Log()),
    "negative_binomial": families.NegativeBinomial(),
}


def model(name: str) -> Model:
    """The model of a family."""
    family = MODELS[name]
    designs = (split(), Split((Constant(), Dense(1)), ((0,), (1,))))
    return Model(family, Layout(designs[: len(family.predictors)]))
