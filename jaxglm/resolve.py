"""Where strings become objects: families, links, solvers, covariances. Below here nothing compares strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxglm import families, links
from jaxglm.errors import InputError, InputTypeError, near
from jaxglm.families import Family
from jaxglm.fitted import Options
from jaxglm.hosts import ALONE, Hosts
from jaxglm.inference.covariance import Estimator, Nonrobust, Survey
from jaxglm.inference.robust import HC
from jaxglm.links import Link
from jaxglm.precision import FLOAT32, FLOAT64, MIXED
from jaxglm.solvers.approach import Road
from jaxglm.solvers.lbfgs import LBFGS
from jaxglm.solvers.stochastic import Stochastic, is_optimizer

#: Which curvature each solver uses; see :class:`jaxglm.solvers.newton.Settings`.
SOLVERS = {"auto": "late", "newton": "early", "irls": "never"}
ROADS = {"lbfgs": LBFGS()}
PRECISIONS = {kind.name: kind for kind in (FLOAT64, MIXED, FLOAT32)}
COVARIANCES = {
    "nonrobust": Nonrobust(), "HC0": HC("HC0"), "HC1": HC("HC1", adjust=True), "HC2": HC("HC2", 0.5),
    "HC3": HC("HC3", 1.0), "survey": Survey(),
}  # fmt: skip
_ALIASES = {
    "normal": "gaussian",
    "logistic": "binomial",
    "bernoulli": "binomial",
    "inverse.gaussian": "inverse_gaussian",
    "inversegaussian": "inverse_gaussian",
    "negativebinomial": "negative_binomial",
    "nb2": "negative_binomial",
    "quasi_poisson": "quasipoisson",
    "quasi_binomial": "quasibinomial",
    "1/mu^2": "inverse_squared",
    "cauchy": "cauchit",
}


def family(value: Any, link: Any = None) -> Family:
    """A family from its name, class or object, with another link if one is given.

    Raises
    ------
    InputError
        Unknown name, or a link whose means lie outside the range of the family.
    InputTypeError
        Something else than a name, a Family or a Link.
    """
    if isinstance(value, type) and issubclass(value, Family):
        value = value() if value.name in families.NAMED else value.name
    if isinstance(value, str):
        key = value.strip().lower().replace(" ", "_").replace("-", "_")
        key = _ALIASES.get(key, key)
        if key in families.PARAMETRIC:
            raise InputError(f"the {key} family needs to be told more; write {families.PARAMETRIC[key]}")
        if key not in families.NAMED:
            raise InputError(f"unknown family {value!r}.{near(key, families.NAMED)}")
        value = families.NAMED[key]()
    if not isinstance(value, Family):
        raise InputTypeError(
            f"family must be a name such as 'poisson' or an object such as jg.Poisson(), not {type(value).__name__}"
        )
    if link is not None:
        value = value.with_link(resolve_link(link))
    elif not isinstance(value.link, Link):
        value = value.with_link(resolve_link(value.link))
    _check_range(value)
    return value


def resolve_link(value: Any) -> Link:
    """A link from its name, class or object."""
    if isinstance(value, type) and issubclass(value, Link):
        return value() if value.name in links.NAMED else resolve_link(value.name)
    if isinstance(value, str):
        key = value.strip().lower()
        key = _ALIASES.get(key, key)
        if key in links.PARAMETRIC:
            raise InputError(f"the {key} link needs a number; write {links.PARAMETRIC[key]}")
        if key not in links.NAMED:
            raise InputError(f"unknown link {value!r}.{near(key, links.NAMED)}")
        return links.NAMED[key]()
    if not isinstance(value, Link):
        raise InputTypeError(
            f"link must be a name such as 'log' or an object such as jg.links.Log(), not {type(value).__name__}"
        )
    return value


def _check_range(family: Family) -> None:
    """Refuse a link that keeps a positive mean below 1; a Gaussian mean may be bounded by any link."""
    if family.mean_range == "positive" and family.link.range == "unit":
        fitting = " or ".join(repr(name) for name, cls in links.NAMED.items() if cls.range != "unit")
        raise InputError(
            f"the {family.link.name} link keeps the mean below 1, but a {family.name} mean may be any positive number; "
            f"use {fitting}"
        )


def options(
    *, solver: Any, information: str, start: Any, tol: float, max_iter: int, use_t: bool | None, n_coefficients: int,
    probability_weights: bool, family: Family, precision: str, roads: bool = True,
) -> Options:  # fmt: skip
    """Checked solver options; `roads` where solvers by gradients are allowed."""
    name, road = _solver(solver, roads)
    if SOLVERS[name] == "never" and not family.has_expected:
        raise InputError(
            "solver='irls' steps with the expected information, which a family of your own does not have; use 'auto'"
        )
    if information not in ("expected", "observed"):
        raise InputError(f"information must be 'expected' or 'observed', not {information!r}")
    if isinstance(tol, bool) or not isinstance(tol, (int, float, np.floating)) or not 0 < tol < 1:
        raise InputError(f"tol is a remaining error in standard errors and must lie between 0 and 1, not {tol!r}")
    if isinstance(max_iter, bool) or not isinstance(max_iter, (int, np.integer)) or max_iter < 1:
        raise InputError(f"max_iter must be a whole number of at least 1, not {max_iter!r}")
    if use_t is not None and not isinstance(use_t, (bool, np.bool_)):
        raise InputTypeError(f"use_t must be True, False or None, not {use_t!r}")
    if start is not None:
        try:
            start = np.asarray(start, float)
        except (TypeError, ValueError):
            raise InputError(f"start must hold {n_coefficients} finite numbers, one a coefficient") from None
        if start.shape != (n_coefficients,) or not np.isfinite(start).all():
            raise InputError(
                f"start must hold {n_coefficients} finite numbers, one a coefficient; its shape is {start.shape}"
            )
    return Options(
        tol=float(tol), max_iter=int(max_iter), curvature=SOLVERS[name], information=information, start=start,
        probability_weights=probability_weights, use_t=None if use_t is None else bool(use_t),
        precision=PRECISIONS[choice("precision", precision, tuple(PRECISIONS))],
        solver=name if road is None else repr(road), road=road,
    )  # fmt: skip


def _solver(value: Any, roads: bool) -> tuple[str, Road | None]:
    """The name of the exact solver, and the road before it if there is one."""
    names = (*SOLVERS, *ROADS) if roads else tuple(SOLVERS)
    if isinstance(value, str) and value in names:
        return ("auto", ROADS[value]) if value in ROADS else (value, None)
    if roads and not isinstance(value, str):
        value = value() if value is Stochastic else value
        if isinstance(value, Stochastic):
            return "auto", value
        if is_optimizer(value):
            return "auto", Stochastic(value)
    objects = ", jg.Stochastic(...) or an optimizer of optax" if roads else " here, where many models are fitted"
    close = near(value, names) if isinstance(value, str) else ""
    raise InputError(f"solver must be {', '.join(map(repr, names))}{objects}, not {value!r}.{close}")


def covariance(value: Any, weights: tuple[str, ...]) -> Estimator:
    """A covariance from its name or object, checked against the kinds of weights; None for the default under these.

    Raises
    ------
    InputError
        Unknown name, or one that has no meaning under the weights.
    InputTypeError
        Something else than a name or an object.
    """
    if value is None:
        value = "survey" if "prob_weights" in weights else "nonrobust"
    if isinstance(value, str):
        found = next((name for name in COVARIANCES if name.lower() == value.strip().lower()), None)
        if found is None:
            raise InputError(
                f"unknown covariance {value!r}; there are {', '.join(map(repr, COVARIANCES))}, "
                f'jg.Cluster("firm") and jg.HAC(lags).{near(value, COVARIANCES)}'
            )
        value = COVARIANCES[found]
    if not isinstance(value, Estimator):
        given = value.__name__ if isinstance(value, type) else type(value).__name__
        raise InputTypeError(
            f'cov must be a name such as "HC3" or an object such as jg.Cluster("firm") or jg.HAC(4), not {given}'
        )
    value.check(weights)
    return value


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of `allowed`, else an error that lists them."""
    if value not in allowed:
        raise InputError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")
    return value


def progress(value: Any, streamed: bool) -> bool | None:
    """Whether to show a bar; None for where it takes long, which is decided for data that comes in pieces alone."""
    if value not in (None, True, False):
        raise InputTypeError(f"progress must be True, False or None, not {value!r}")
    return value if value is not None or streamed else False


@dataclass(frozen=True)
class Devices:
    """Where the rows of a fit go.

    Attributes
    ----------
    own : tuple of devices of this process to cut its rows over; none for the default device
    hosts : the processes that take part
    """

    own: tuple[jax.Device, ...]
    hosts: Hosts

    @property
    def several(self) -> bool:
        """Whether these are other devices than the default one alone."""
        return len(self.own) > 1 or (len(self.own) == 1 and self.own[0] != _default())


def _default() -> jax.Device:
    """The device that JAX computes on unasked."""
    chosen = jax.config.jax_default_device
    return chosen if isinstance(chosen, jax.Device) else jax.local_devices(backend=chosen)[0]


def devices(value: Any) -> Devices:
    """Devices from None, "all", a sequence of JAX devices, or a mesh of any axes.

    Raises
    ------
    InputError, InputTypeError
        Something else, a device twice, or devices of some other processes but not of all.
    """
    if value is None:
        return Devices((), ALONE)
    if isinstance(value, str):
        if value != "all":
            raise InputError(f"devices must be None, 'all', a list of jax devices or a jax Mesh, not {value!r}")
        value = jax.devices()
    value = value.devices.flat if isinstance(value, Mesh) else value
    found = tuple(value) if hasattr(value, "__iter__") else ()
    if not found or not all(isinstance(d, jax.Device) for d in found):
        raise InputTypeError(
            "devices must be None, 'all', a jax Mesh or a non-empty list of jax devices, such as jax.devices()[:2]"
        )
    if len(set(found)) < len(found):
        raise InputError(f"devices has {next(d for d in found if found.count(d) > 1)} more than once")
    places = {d.process_index for d in found}
    if places != {jax.process_index()} and places != set(range(jax.process_count())):
        raise InputError(
            f"devices are of the processes {sorted(places)}, but a fit takes those of this process alone or some of "
            f"each of the {jax.process_count()} processes; use devices='all', or jax.local_devices()"
        )
    return Devices(tuple(d for d in found if d.process_index == jax.process_index()), Hosts.of(found))


def aux(value: Any, family: Family, *, named: bool) -> dict[str, Any]:
    """Where each column that the family reads comes from; by its own name where there is a data frame.

    Raises
    ------
    InputError, InputTypeError
        Not a dict, a name that the family does not read, or one without values.
    """
    if value is not None and not isinstance(value, Mapping):
        raise InputTypeError(f"aux must be a dict from the family's names to columns or arrays, not {value!r}")
    given = dict(value or {})
    for name in given:
        if name not in family.aux_names:
            raise InputError(f"the {family.name} family reads no {name!r}.{near(str(name), family.aux_names)}")
    missing = [name for name in family.aux_names if name not in given]
    if missing and not named:
        raise InputError(f"the family reads {missing[0]!r}; give its values as aux={{{missing[0]!r}: ...}}")
    return {name: given.get(name, name) for name in family.aux_names}


def refuse_unknown(unknown: dict[str, Any], known: list[str]) -> None:
    """An error for keyword options that do not exist; `weights` gets its own words."""
    for name in unknown:
        if name == "weights":
            raise InputTypeError(
                "there is no weights=, because it means different things elsewhere; use freq_weights= (a row stands "
                "for w rows), var_weights= (a row is w times as precise; R's weights=) or prob_weights= (survey)"
            )
        raise InputTypeError(f"unknown option {name!r}.{near(name, known)}")
