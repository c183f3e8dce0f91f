"""Simulated motor insurance policies, shaped like the public French portfolio freMTPL2.

One row is a policy in one year. Eight factors have 299 levels together. For factor f with level l,

    log frequency = log(0.07) + sum of f's effects,   claims ~ Poisson(frequency * exposure)
    log severity  = log(1800) + 0.4 * other effects,  a claim ~ Gamma(shape 1, mean severity)

so that the amount of a policy is a compound Poisson-Gamma (Tweedie) sum; with shape 1 its variance power is 1.5. The
effects are smooth in ordered factors (age, bonus) and random in the others. About one policy in 18 has a claim. Most
levels are common, some are rare, and none is so rare that the smallest portfolio of the benchmarks leaves it without
a claim.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Levels of each factor, and how much its effects vary (standard deviation of log frequency).
FACTORS = {
    "area": (6, 0.15),
    "power": (12, 0.08),
    "vehicle_age": (15, 0.12),
    "driver_age": (63, 0.20),
    "bonus": (24, 0.35),
    "model": (80, 0.15),
    "fuel": (3, 0.05),
    "department": (96, 0.15),
}
ORDERED = ("power", "vehicle_age", "driver_age", "bonus")
FREQUENCY, SEVERITY = 0.07, 1800.0
#: Portfolios below this size would have levels without claims, whose estimates are infinite.
SMALLEST = 60_000


def policies(n: int, seed: int = 2013) -> pd.DataFrame:
    """A portfolio.

    Parameters
    ----------
    n : int
        Policies; at least `SMALLEST`.
    seed : int
        The same seed gives the same portfolio.

    Returns
    -------
    DataFrame (n rows)
        The factors as categories (levels "00", "01", ...), `exposure` in years in (0, 1], `claims` (count), `amount`
        (sum of the claims), `severity` (amount per claim, NaN without claims), `premium` (amount per year) and `claim`
        (what a claim would cost: one draw for each policy, whether it has claims or not).
    """
    if n < SMALLEST:
        raise ValueError(f"n must be at least {SMALLEST:,} policies, got {n:,}")
    rng = np.random.default_rng(seed)
    frame, often, costly = {}, np.full(n, np.log(FREQUENCY)), np.full(n, np.log(SEVERITY))
    for name, (levels, spread) in FACTORS.items():
        codes = rng.choice(levels, n, p=_shares(levels, rng)).astype(np.int32)
        # Every level is there, however the draw went.
        codes[:levels] = np.arange(levels)
        often += spread * _effects(name, levels, rng)[codes]
        costly += 0.4 * spread * _effects(name, levels, rng)[codes]
        frame[name] = pd.Categorical.from_codes(codes, [f"{level:02d}" for level in range(levels)])
    # Half of the policies run all year; the others begin or end within it.
    exposure = np.where(rng.random(n) < 0.5, 1.0, rng.integers(1, 366, n) / 365)
    claims = rng.poisson(np.exp(often) * exposure)
    amount = np.where(claims > 0, rng.gamma(np.maximum(claims, 1)) * np.exp(costly), 0.0)
    with np.errstate(invalid="ignore"):
        severity = amount / claims
    return pd.DataFrame(
        {
            **frame,
            "exposure": exposure,
            "claims": claims.astype(float),
            "amount": amount,
            "severity": severity,
            "premium": amount / exposure,
            "claim": rng.gamma(1.0, np.exp(costly)),
        }
    )


def _shares(levels: int, rng: np.random.Generator) -> np.ndarray:
    """Shares of the levels: uneven, the smallest still a third of the mean."""
    shares = 0.5 + rng.gamma(1.0, 1.0, levels)
    return shares / shares.sum()


def _effects(name: str, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Effects with mean 0 and standard deviation 1: a bent line for ordered factors, noise for the others."""
    place = np.linspace(-1.0, 1.0, levels)
    raw = place + 1.5 * rng.random() * place**2 if name in ORDERED else rng.normal(size=levels)
    return (raw - raw.mean()) / raw.std()
