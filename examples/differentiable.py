"""Derivatives through a fit: a GLM as the last layer of a model, and a penalty tuned by gradient.

Run from the root of the repository: python examples/differentiable.py
"""

import textwrap
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

import jaxglm as jg

WIDTH = 92
UNITS, STEPS = 4, 200
FOLDS = 5
FIRST_RIDGE = 1.0
#: A program that is called a few times, on few rows, takes longer to compile than to run.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def title(text: str) -> None:
    """A heading."""
    print(f"\n## {text}\n")


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def show(table: pd.DataFrame) -> None:
    """A table, set in."""
    print(textwrap.indent(table.to_string(), "    "))


def stays() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The stays in hospital of counts.py: columns, days, and names of the columns."""
    df = pd.read_csv(Path(__file__).resolve().parent / "data" / "medpar.csv", dtype={"type": str, "provnum": str})
    columns = pd.get_dummies(df[["hmo", "white", "type", "provnum"]], drop_first=True, dtype=float)
    return columns.to_numpy(float), df["los"].to_numpy(float), list(columns.columns)


def rows_that_matter(X: np.ndarray, y: np.ndarray, names: list[str]) -> None:
    """The derivative of an estimate in the weight of each row, and what leaving the row out does."""
    title("1. What does one stay do to an estimate?")
    few = X[:, : names.index("type_3") + 1]
    place = names.index("type_3") + 1

    def emergency(weights: jax.Array) -> jax.Array:
        return jg.functional.fit(jg.NegativeBinomial(), few, y, freq_weights=weights, intercept=True).theta[place]

    ones = np.ones(len(y))
    # One program for both.
    fit = jax.jit(jax.value_and_grad(emergency), compiler_options=QUICKLY)
    whole, slopes = (np.asarray(part) for part in fit(ones))
    rows = np.argsort(-np.abs(slopes))[:4]
    without = [float(fit(np.where(np.arange(len(y)) == i, 0.0, 1.0))[0] - whole) for i in rows]
    table = pd.DataFrame({"days": y[rows].astype(int), "by derivative": -slopes[rows], "by refit": without}, index=rows)
    show(table.rename_axis("stay").round(5))
    say(f"""One gradient of the joint negative binomial fit, alpha estimated along, ranks all {len(y):,} stays by what
        leaving them out does to the emergency coefficient ({whole:.4f}); four refits confirm the largest.""")


def wave(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulated counts whose log mean is a wave."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, n)
    return x, rng.poisson(np.exp(true_log_mean(x))).astype(float)


def true_log_mean(x: np.ndarray) -> np.ndarray:
    """What the counts are made with."""
    return 1 + 1.2 * np.sin(1.8 * x)


def features(units: dict, x: np.ndarray) -> jax.Array:
    """Smooth steps, (n, UNITS): where they lie and how steep they are is learned."""
    return jnp.tanh(jnp.exp(units["log_slope"]) * (x[:, None] - units["place"]))


def layer() -> None:
    """Features learned by the gradient of a held-out loss through the fit."""
    title("2. A GLM as a layer")
    (x, y), (x_held, y_held), (x_new, y_new) = wave(300, 1), wave(300, 2), wave(2000, 3)
    family = jg.Poisson()

    def predicted(units: dict, x_other: np.ndarray) -> jax.Array:
        fit = jg.functional.fit(family, features(units, x), y, intercept=True, ridge=1e-3)
        return jg.functional.predict(family, fit.theta, features(units, x_other), intercept=True)

    def loss(units: dict, x_other: np.ndarray, y_other: np.ndarray) -> jax.Array:
        mean = predicted(units, x_other)
        return jnp.mean(mean - y_other * jnp.log(mean))

    optimizer = optax.adam(0.05)
    first = {"place": jnp.linspace(-2.0, 2.0, UNITS), "log_slope": jnp.zeros(UNITS)}

    @partial(jax.jit, compiler_options=QUICKLY)
    def train(units: dict) -> tuple[dict, jax.Array]:
        def step(carry, _):
            units, state = carry
            value, slope = jax.value_and_grad(loss)(units, x_held, y_held)
            change, state = optimizer.update(slope, state)
            return (optax.apply_updates(units, change), state), value

        (units, _), values = jax.lax.scan(step, (units, optimizer.init(units)), length=STEPS)
        return units, values

    units, values = train(first)
    truth = np.exp(true_log_mean(x_new))
    best = np.mean(truth - y_new * np.log(truth))
    new = jax.jit(loss, compiler_options=QUICKLY)
    table = pd.DataFrame(
        {
            "held out": [values[0], values[-1]],
            "new rows, above the truth": [float(new(u, x_new, y_new)) - best for u in (first, units)],
        },
        index=["evenly spaced steps", "learned steps"],
    )
    show(table.astype(float).round(4))
    say(f"""{UNITS} smooth steps feed a Poisson regression of {len(y)} rows. Every turn fits it to convergence and moves
        the steps by the gradient of the loss on {len(y_held)} held-out rows, through the fit; {STEPS} turns are one
        compiled loop. Steps ended at {", ".join(f"{v:.2f}" for v in np.sort(units["place"]))}.""")


def tuned(X: np.ndarray, y: np.ndarray, names: list[str]) -> None:
    """A ridge penalty for the hospitals, by the gradient of cross-validated loss."""
    title("3. A ridge penalty, tuned by gradient")
    family = jg.NegativeBinomial()
    hospital = np.array([name.startswith("provnum") for name in names])
    fold = np.random.default_rng(0).integers(0, FOLDS, len(y))
    masks = np.array([(fold != k).astype(float) for k in range(FOLDS)])

    def held_out(log_ridge: jax.Array, mask: jax.Array) -> jax.Array:
        ridge = jnp.concatenate([jnp.zeros(1), jnp.where(hospital, jnp.exp(log_ridge), 0.0), jnp.zeros(1)])
        fit = jg.functional.fit(family, X, y, freq_weights=mask, ridge=ridge, intercept=True)
        return -jg.functional.loglik(family, fit.theta, X, y, freq_weights=1 - mask, intercept=True)

    def loss(log_ridge: jax.Array) -> jax.Array:
        return jnp.sum(jax.vmap(held_out, (None, 0))(log_ridge, masks)) / len(y)

    value_and_slope = jax.jit(jax.value_and_grad(loss), compiler_options=QUICKLY)
    at, previous, path = np.log(FIRST_RIDGE), None, []
    for _ in range(12):
        value, slope = (float(v) for v in value_and_slope(at))
        path.append((np.exp(at), value, slope))
        if abs(slope) < 1e-7:
            break
        # A secant step to where the slope is zero; the first goes downhill.
        step = -np.sign(slope) if previous is None else -slope * (at - previous[0]) / (slope - previous[1])
        previous, at = (at, slope), at + float(np.clip(step, -1.5, 1.5))
    show(pd.DataFrame(path, columns=["ridge", "loss a stay", "slope in log ridge"]).round(6))
    none, much = (float(value_and_slope(np.log(r))[0]) for r in (1e-6, 1e6))
    say(f"""Coefficients of {hospital.sum()} hospitals are shrunk; those of hmo, white and type are not, nor is alpha.
        The {FOLDS} folds are rows of weight 0 under vmap. Without a penalty the loss is {none:.5f}, without hospitals
        {much:.5f}, at the best ridge of {path[-1][0]:.2f} it is {path[-1][1]:.5f}.""")


def main() -> None:
    """Tell the whole story."""
    # As in all of JAX, double precision is asked for.
    with jax.enable_x64(True):
        X, y, names = stays()
        rows_that_matter(X, y, names)
        layer()
        tuned(X, y, names)


if __name__ == "__main__":
    main()
