"""Functions of named parameters, and frames of what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxglm.errors import InputError, InputTypeError, near
from jaxglm.inference import delta as method
from jaxglm.results.labels import aliased
from jaxglm.results.tidy import check_alpha

if TYPE_CHECKING:
    from jaxglm.results.results import Results


class Parameters:
    """The parameters as a function of them gets them: by name, by position, or as a vector.

    Like a pandas Series, but of JAX numbers that are being differentiated: ``b["dose"]``, ``b["dispersion", "z"]`` or
    ``b["dispersion: z"]`` where names have two parts, ``b[0]``, ``b[1:3]``, ``b[["x", "z"]]``, ``x @ b``, and
    ``b.values`` for all of them, which functions of jax.numpy take.
    """

    def __init__(self, values: jax.Array, places: dict[Any, int], dropped: dict[int, tuple[str, str]]):
        self._values, self._places, self._dropped = values, places, dropped
        #: Whether the function has looked at any of them.
        self.touched = False

    @property
    def values(self) -> jax.Array:
        """All of them, (P,); 0 for those that were dropped as aliased."""
        self.touched = True
        return self._values

    @property
    def names(self) -> list[Any]:
        """What they are called."""
        return list(self._places)[: len(self)]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[jax.Array]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, name: Any) -> bool:
        return name in self._places

    def __getitem__(self, key: Any) -> jax.Array:
        if isinstance(key, slice):
            return self.values[key]
        if isinstance(key, list):
            return jnp.stack([self[part] for part in key])
        place = self._place(key)
        if place in self._dropped:
            name, why = self._dropped[place]
            raise InputError(f"{name!r} has no estimate: it was dropped because it equals {why}")
        return self.values[place]

    def _place(self, key: Any) -> int:
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            if -len(self) <= key < len(self):
                return int(key) % len(self)
            raise InputError(f"there are {len(self)} parameters, so position {key} does not exist")
        if key not in self._places:
            raise InputError(f"no parameter is called {key!r}.{near(key, filter(_is_text, self._places))}")
        return self._places[key]

    def __array_ufunc__(self, ufunc, how, *inputs, **options):
        if ufunc is np.matmul and how == "__call__":
            return jnp.matmul(*(part.values if part is self else part for part in inputs))
        raise InputTypeError(f"np.{ufunc.__name__} cannot be differentiated; {method.REMEDY}")

    def __array__(self, *args, **options):
        raise InputTypeError(f"NumPy cannot take parameters that are being differentiated; {method.REMEDY}")

    def __matmul__(self, other: Any) -> jax.Array:
        return jnp.matmul(self.values, other)

    def __rmatmul__(self, other: Any) -> jax.Array:
        return jnp.matmul(other, self.values)


def _is_text(name: Any) -> bool:
    return isinstance(name, str)


def _places(res: Results) -> dict[Any, int]:
    """Positions by name; for names of two parts also by text and by a last part that no other has."""
    labels = res.labels
    found = {name: j for j, name in enumerate(labels.names)}
    found |= {text: j for j, text in enumerate(labels.texts)}
    last = [name[-1] for name in labels.names if isinstance(name, tuple)]
    found |= {
        name[-1]: j for j, name in enumerate(labels.names) if isinstance(name, tuple) and last.count(name[-1]) == 1
    }
    return found


def delta(res: Results, function: Callable[[Parameters], Any], alpha: float = 0.05) -> pd.DataFrame:
    """Estimate, standard error and limits of functions of the parameters, one row a number.

    Raises
    ------
    InputError
        An unknown or aliased parameter, or a function that does not use the parameters.
    InputTypeError
        No function, one that JAX cannot trace, or one that gives something else than numbers.

    Examples
    --------
    >>> import jaxglm as jg
    >>> data = {"dead": [1, 4, 9, 13, 18, 20], "alive": [19, 16, 11, 7, 2, 0], "dose": [0, 1, 2, 3, 4, 5]}
    >>> res = jg.glm("cbind(dead, alive) ~ dose", data, family="binomial")
    >>> res.delta(lambda b: {"LD50": -b["Intercept"] / b["dose"]}).columns.tolist()
    ['estimate', 'std_error', 'conf_low', 'conf_high']
    """
    check_alpha(alpha)
    if not callable(function):
        raise InputTypeError(
            f"delta takes a function of the parameters, such as lambda b: -b['Intercept'] / b['dose'], not {function!r}"
        )
    places = _places(res)
    dropped = {places[text]: (text, why) for text, why in aliased(res.fit, res.labels)}
    seen = []

    def of_vector(vector):
        seen.append(Parameters(vector, places, dropped))
        try:
            return function(seen[-1])
        except TypeError as problem:
            if Parameters.__name__ in str(problem) and not isinstance(problem, InputTypeError):
                raise InputTypeError(f"functions of jax.numpy take b.values, not b itself ({problem})") from problem
            raise

    found = method.delta(res.fit, res.covariance, of_vector)
    if not any(view.touched for view in seen):
        raise InputError(
            "the function does not use its argument, the parameters; name them as in lambda b: b['x'] ** 2"
        )
    for j, (name, why) in dropped.items():
        if (found.jacobian[:, j] != 0).any():
            raise InputError(f"the function depends on {name!r}, which was dropped because it equals {why}")
    limits = found.interval(alpha)
    columns = {"estimate": found.estimate, "std_error": found.standard_errors}
    columns |= {"conf_low": limits[:, 0], "conf_high": limits[:, 1]}
    return pd.DataFrame(columns, index=_index(found.paths, getattr(function, "__name__", "value")))


def _index(paths: tuple[tuple, ...], name: str) -> pd.Index:
    """Labels of numbers by where they stand in the function's value."""
    if paths == ((),):
        return pd.Index(["value" if name == "<lambda>" else name])
    depths = {len(path) for path in paths}
    if depths == {1}:
        return pd.Index([path[0] for path in paths])
    if len(depths) == 1:
        return pd.MultiIndex.from_tuples(paths)
    return pd.Index([": ".join(map(str, path)) for path in paths])
