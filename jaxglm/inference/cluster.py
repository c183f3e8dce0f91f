"""Covariance under dependence within clusters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from jaxglm.errors import DataWarning, InputError, InputTypeError
from jaxglm.fitted import Fit
from jaxglm.hosts import ALONE, Hosts
from jaxglm.inference.covariance import Codes, Diagonals, Estimator, sandwich
from jaxglm.kernels import ClusterMeat
from jaxglm.precision import host
from jaxglm.solvers.middles import Clustered
from jaxglm.sources import bucket

#: Share of the largest eigenvalue of a covariance below which a negative one is rounding.
_ROUNDING = 1e-12
#: Ways of clustering beyond which sums over all their intersections are too many.
_MOST_WAYS = 6


class Way(NamedTuple):
    """One way of clustering: its name, a code from 0 to count - 1 for every fitted row, and the number of clusters."""

    name: str
    codes: np.ndarray
    count: int


@dataclass(frozen=True, init=False, eq=False)
class Cluster(Estimator):
    """Covariance for rows that depend on each other within clusters.

    Parameters
    ----------
    *by : str or array (n,)
        A column of the data, or one value a row of the data (a Series is aligned by its index). Several of them give
        multi-way clustering (Cameron, Gelbach and Miller 2011): rows may depend on each other where they share any.
    fix : bool
        Set negative eigenvalues of the covariance to 0, which only multi-way clustering can have (Cameron, Gelbach and
        Miller 2011, section 2.3; sandwich's ``fix``). Without it they are kept and a warning says so.

    Raises
    ------
    InputError
        No cluster variable, only one cluster, or too many ways.
    InputTypeError
        A variable that is neither a name nor values.

    Notes
    -----
    B M B with B the inverse of the reported information and M the sum over clusters of u u', u the sum of scores in
    the cluster (Liang and Zeger 1986), times G/(G-1) (n-1)/(n-k), where n - k is ``df_resid``: sandwich's
    ``vcovCL(type="HC1")`` and statsmodels' ``cov_type="cluster"``. (vcovCL's default is HC1 for lm but HC0, without
    the second factor, for glm; so is Stata's for maximum likelihood.) With several ways M adds the sums over each way
    and over each intersection of ways with alternating signs, each with its own G/(G-1).

    Weights: a row adds w s to its cluster under every kind of weights, so a row with freq_weights w equals w rows of
    the same cluster. Under prob_weights the factor is G/(G-1) alone, which is the sandwich of a survey whose primary
    sampling units are the clusters (Binder 1983); it does not change when all weights are scaled.

    Tests and intervals keep the degrees of freedom of the fit. With few clusters (below about 40) they are too
    optimistic.

    Cost: one pass of O(n P); for each way and each intersection of ways 8 G P bytes, with G rounded up to a power of
    two or so, once a thread on a CPU; 4 n bytes for the codes.

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"y": [1, 2, 4, 3, 6, 9], "x": [0, 1, 2, 1, 2, 3], "firm": list("aabbcc")})
    >>> res = jg.glm("y ~ x", df, family="poisson", cov=jg.Cluster("firm"))
    >>> res.cov_type, res.bse.round(4).to_dict()
    ('cluster (firm, 3 clusters)', {'Intercept': 0.2251, 'x': 0.0858})
    """

    reads_beside = True

    by: tuple[Any, ...]
    fix: bool

    def __init__(self, *by: Any, fix: bool = False):
        if not by:
            raise InputError('Cluster() needs the clusters: a column name, as in jg.Cluster("firm"), or values')
        if len(by) > _MOST_WAYS:
            raise InputError(f"Cluster() takes up to {_MOST_WAYS} variables, not {len(by)}; names go in one by one")
        for value in by:
            if not isinstance(value, str) and np.ndim(value) != 1:
                raise InputTypeError(
                    f"Cluster() takes column names or one value a row, not {type(value).__name__}; "
                    'several ways are several arguments: jg.Cluster("firm", "year")'
                )
        if not isinstance(fix, bool):
            raise InputTypeError(f"fix must be True or False, not {fix!r}")
        object.__setattr__(self, "by", by)
        object.__setattr__(self, "fix", fix)

    def without_rows(self) -> Cluster:
        return Cluster(*map(_name, self.by), fix=self.fix)

    def learn(self, codes: Codes, hosts: Hosts) -> tuple[Way, ...]:
        ways = []
        for value in self.by:
            way = _way(_name(value), codes(value, "cluster", hosts), hosts)
            if way.count < 2:
                raise InputError(
                    f"all rows are in one cluster of {way.name!r}; a cluster covariance needs two at least"
                )
            ways.append(way)
        return tuple(ways)

    @property
    def middle(self) -> Clustered:
        """Each way of clustering and each intersection of ways, with its sign."""
        return Clustered(tuple((f"set {k}", (-1) ** (len(chosen) + 1)) for k, chosen in enumerate(subsets(self.by))))

    def sets(self, codes: Codes) -> tuple[np.ndarray, ...]:
        return tuple(_crossed(chosen, ALONE).codes for chosen in subsets(self.learn(codes, ALONE)))

    def variances(self, diagonals: Diagonals) -> np.ndarray | None:
        if self.fix and len(self.by) > 1:
            return None
        if diagonals.probability_weights:
            return diagonals.sandwich
        n, df = diagonals.nobs, diagonals.df_resid
        return np.where(df > 0, (n - 1) / np.where(df > 0, df, 1.0), np.nan)[:, None] * diagonals.sandwich

    def matrix(self, fit: Fit, bread: np.ndarray, beside: tuple[Way, ...]) -> np.ndarray:
        rows = fit.rows
        sets = {f"set {k}": (len(chosen), _crossed(chosen, rows.hosts)) for k, chosen in enumerate(subsets(beside))}
        source = rows.beside(
            {key: way.codes for key, (_, way) in sets.items()}, lambda rows, codes: rows._replace(codes=codes)
        )
        kernel = ClusterMeat(tuple((key, bucket(way.count)) for key, (_, way) in sets.items()))
        sums = host(source.reduce(kernel, fit.careful, fit.coefficients))
        meat = sum((-1) ** (size + 1) * way.count / (way.count - 1) * sums[key] for key, (size, way) in sets.items())
        if not fit.options.probability_weights:
            meat = meat * ((fit.nobs - 1) / fit.df_resid if fit.df_resid > 0 else np.nan)
        return self._positive(sandwich(fit, bread, meat))

    def _positive(self, matrix: np.ndarray) -> np.ndarray:
        """The covariance, without its negative eigenvalues where that is asked for."""
        if len(self.by) == 1 or not np.isfinite(matrix).all():
            return matrix
        values, vectors = np.linalg.eigh(matrix)
        if values[0] >= -_ROUNDING * np.abs(values).max():
            return matrix
        if self.fix:
            return (vectors * np.maximum(values, 0.0)) @ vectors.T
        warnings.warn(
            "the multi-way cluster covariance is not positive definite, so some variances can be too small or NaN; "
            "jg.Cluster(..., fix=True) sets its negative eigenvalues to 0",
            DataWarning,
            stacklevel=6,
        )
        return matrix

    def title(self, beside: tuple[Way, ...] | None) -> str:
        if beside is None:
            return f"cluster ({', '.join(map(_name, self.by))})"
        return f"cluster ({'; '.join(f'{way.name}, {way.count:,} clusters' for way in beside)})"

    def note(self, fit: Fit, beside: tuple[Way, ...]) -> str:
        factor = "G/(G-1)" if fit.options.probability_weights else "G/(G-1) (n-1)/(n-k)"
        return f"Standard errors allow for dependence within clusters; factor {factor}."


def subsets(ways: Sequence[Any]) -> list[tuple]:
    """All that can be chosen of several ways of clustering, single ones first."""
    return [chosen for size in range(1, len(ways) + 1) for chosen in combinations(ways, size)]


def _name(value: Any) -> str:
    """What a way of clustering is called."""
    return value if isinstance(value, str) else str(getattr(value, "name", None) or "given values")


def _way(name: str, codes: np.ndarray, hosts: Hosts) -> Way:
    """With codes that leave none out, the same in all processes."""
    own, relabeled = np.unique(codes, return_inverse=True)
    distinct = hosts.union(own)
    places = np.searchsorted(distinct, own).astype(np.int32)
    return Way(name, places[relabeled], len(distinct))


def _crossed(ways: tuple[Way, ...], hosts: Hosts) -> Way:
    """The intersections of several ways."""
    whole = ways[0]
    for way in ways[1:]:
        whole = _way("", whole.codes.astype(np.int64) * way.count + way.codes, hosts)
    return whole
