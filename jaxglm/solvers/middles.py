"""What the sandwiches of fits side by side have in their middle, made inside the program of a tile."""

from __future__ import annotations

from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp

from jaxglm.kernels import ClusterMeat, LeverageMeat, LeveragePoint, Meat, Model, Rows
from jaxglm.solvers.information import Information
from jaxglm.tree import pytree, static

#: Leverage that rounding cannot tell from 1, that of a row which alone determines a coefficient.
ALONE = 1.0 - 1e-10


class Middle(ABC):
    """How a lane makes its meat; the same for all lanes of a tile."""

    @abstractmethod
    def meat(self, model: Model, rows: Rows, theta: jax.Array, bread: Information, observed: bool) -> jax.Array:
        """The matrix (P, P) between two breads.

        Parameters
        ----------
        bread : the information that is reported
        observed : whether that is the observed one
        """


@pytree
class Plain(Middle):
    """Scores as they are."""

    def meat(self, model, rows, theta, bread, observed):
        kernel = Meat()
        return kernel.finish(model, kernel.map(model, theta, rows))


@pytree
class Leveraged(Middle):
    """Scores divided by a power of I - H."""

    power: jax.Array | float

    def meat(self, model, rows, theta, bread, observed):
        kernel = LeverageMeat()
        point = LeveragePoint(theta, bread.root(), jnp.asarray(observed), jnp.asarray(self.power), jnp.asarray(ALONE))
        return kernel.finish(model, kernel.map(model, point, rows))


@pytree
class Clustered(Middle):
    """Scores summed within clusters, each set of them times G/(G-1); NaN where a set has one cluster.

    Attributes
    ----------
    sets : tuple of (name, sign)
        Codes of the rows, from 0 to G - 1 in every lane without gaps, and whether their sums are added or taken away.
    """

    sets: tuple[tuple[str, int], ...] = static()

    def meat(self, model, rows, theta, bread, observed):
        kernel = ClusterMeat(tuple((name, rows.y.shape[0]) for name, _ in self.sets))
        found = kernel.finish(model, kernel.map(model, theta, rows))
        total = 0.0
        for name, sign in self.sets:
            count = 1.0 + jnp.max(jnp.where(rows.freq > 0, rows.codes[name], 0))
            total += sign * jnp.where(count > 1, count / (count - 1.0), jnp.nan) * found[name]
        return total
