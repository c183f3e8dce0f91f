"""Many fits of one model, each to rows of its own: arrays in, arrays out, no names and no tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxglm.errors import DataError, DataWarning, FitError, Status
from jaxglm.fit import fit_source
from jaxglm.fitted import Fit, Options
from jaxglm.inference.covariance import Diagonals, Estimator, covariance
from jaxglm.inference.likelihood import aic, bic
from jaxglm.kernels import Model, Rows
from jaxglm.precision import host, in_threads, scope, threads
from jaxglm.solvers.batch import Lane, Task, fit_tile
from jaxglm.sources import ArraySource
from jaxglm.sources.base import pad, to_device

#: Numbers that the rows of a tile hold, by platform: what stays in cache on a CPU.
_NUMBERS = {"cpu": 2**18}
_NUMBERS_ELSEWHERE = 2**26
#: Most lanes of a tile.
_MOST_LANES = {"cpu": 512}
_MOST_LANES_ELSEWHERE = 2**14
#: Rows above which a group is fitted alone, which takes chunks of them and all threads.
_LONG = 2**14
#: Coefficients above which groups are fitted alone, since a tile holds all columns as numbers.
_WIDE = 96
#: Padded rows that may be added to save the program of one more shape.
_FEW = 2**16
#: Evaluations after which lanes that still run are gathered in tiles of their own.
_TURNS = 12
_ENOUGH = 2**30
#: Rows that small groups are filled up to where they are fitted alone, so that few shapes are compiled.
_LENGTHS = (512, 4096, 2**15)
_ENDED = (Status.CONVERGED, Status.CONVERGED_TO_PRECISION, Status.NO_OVERDISPERSION)


@dataclass(frozen=True)
class Segments:
    """Which rows belong to which of G groups.

    Attributes
    ----------
    order : (n,) positions of the rows, those of a group one after the other
    starts, counts : (G,) where a group begins in `order`, and its rows
    """

    order: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, n_groups: int) -> Segments:
        """From the group of each row (n,), in any order; rows keep theirs within a group."""
        # Of numbers so short a stable sort is one by digits.
        order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
        for shift in range(16, int(n_groups).bit_length(), 16):
            order = order[np.argsort((codes[order] >> shift & 0xFFFF).astype(np.uint16), kind="stable")]
        counts = np.bincount(codes, minlength=n_groups)
        return cls(order, np.cumsum(counts) - counts, counts)

    def rows(self, group: int) -> np.ndarray:
        """Positions of the rows of one group."""
        start = self.starts[group]
        return self.order[start : start + self.counts[group]]


@dataclass(frozen=True)
class Batch:
    """G fits as arrays, the groups first; NaN where there is no estimate.

    Attributes
    ----------
    theta : (G, P), NaN where aliased
    variances : (G, P) of the coefficients
    active, held : (G, P) bool, see :class:`~jaxglm.fitted.Fit`
    status, n_iter : (G,) int
    deviance, null_deviance, pearson_chi2, scale, llf, nobs, df_resid, df_null, aic, bic : (G,)
    messages : dict from the position of a group to why its rows cannot be used
    """

    theta: np.ndarray
    variances: np.ndarray
    active: np.ndarray
    held: np.ndarray
    status: np.ndarray
    n_iter: np.ndarray
    deviance: np.ndarray
    null_deviance: np.ndarray
    pearson_chi2: np.ndarray
    scale: np.ndarray
    llf: np.ndarray
    nobs: np.ndarray
    df_resid: np.ndarray
    df_null: np.ndarray
    aic: np.ndarray
    bic: np.ndarray
    messages: dict[int, str]

    @classmethod
    def empty(cls, n_groups: int, n_coefficients: int) -> Batch:
        """Nothing fitted yet."""
        wide = (n_groups, n_coefficients)
        numbers = {f: np.full(n_groups, np.nan) for f in _NUMBERS_OF_A_FIT}
        return cls(
            theta=np.full(wide, np.nan), variances=np.full(wide, np.nan), active=np.zeros(wide, bool),
            held=np.zeros(wide, bool), status=np.full(n_groups, int(Status.NOT_FITTED)),
            n_iter=np.zeros(n_groups, int), messages={}, **numbers,
        )  # fmt: skip

    def clear(self, group: Any, status: int) -> None:
        """Groups without an estimate."""
        self.status[group] = status
        for name in ("theta", "variances", *_NUMBERS_OF_A_FIT):
            if name not in ("nobs", "df_null"):
                getattr(self, name)[group] = np.nan
        self.active[group] = self.held[group] = False


_NUMBERS_OF_A_FIT = (
    "deviance", "null_deviance", "pearson_chi2", "scale", "llf", "nobs", "df_resid", "df_null", "aic", "bic",
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What all groups have in common."""

    rows: Rows
    segments: Segments
    model: Model
    options: Options
    estimator: Estimator
    has_intercept: bool
    has_offset: bool
    natural: np.ndarray
    name_row: Callable[[int], str]
    name_column: Callable[[int], str]


def fit_groups(work: Work, report: Callable[[int], None] = lambda done: None) -> tuple[Batch, bool]:
    """Fit the model to every group; what becomes of one changes no other.

    Parameters
    ----------
    report : callable
        Told from this thread how many more groups are done.

    Returns
    -------
    Batch
    bool
        Whether all was done; False after an interrupt, which leaves the other groups NOT_FITTED.

    Notes
    -----
    Memory beyond the rows and what is returned is that of a tile or two for each thread.
    """
    counts = work.segments.counts
    out = Batch.empty(len(counts), work.model.layout.n_coefficients)
    queue = _Queue(report)
    in_lanes = (counts > 0) & (counts <= _LONG) & (work.model.layout.n_coefficients <= _WIDE)
    if work.estimator.variances(_NO_FITS) is None:
        in_lanes[:] = False
    alone = list(np.flatnonzero((counts > 0) & ~in_lanes))
    with scope(), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            left = np.flatnonzero(in_lanes)
            for turns in (_TURNS, _ENOUGH):
                task = _task(work, turns)
                still: list[np.ndarray] = []
                jobs = [partial(_tile, work, task, out, alone, still, *tile) for tile in _tiles(work, left)]
                queue.run(jobs)
                left = np.concatenate([np.zeros(0, int), *still])
                if not len(left) or queue.stopped:
                    break
            alone.sort()
            small = [g for g in alone if counts[g] <= _LENGTHS[-1]]
            queue.run([partial(_alone, work, out, g) for g in small])
            for g in alone:
                if counts[g] > _LENGTHS[-1] and not queue.stopped:
                    report(_alone(work, out, g))
        except KeyboardInterrupt:
            queue.stopped = True
    return out, not queue.stopped


_NO_FITS = Diagonals(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0), np.zeros(0), np.zeros(0))


class _Queue:
    """Jobs dealt out to one thread a core; an interrupt lets those that run end and drops the others."""

    def __init__(self, report: Callable[[int], None]):
        self.report, self.stopped = report, False

    def run(self, jobs: list[Callable[[], int]]) -> None:
        waiting = iter(jobs)

        def work(report):
            # next() of a list's iterator is atomic.
            while not self.stopped and (job := next(waiting, None)) is not None:
                try:
                    report(job())
                except KeyboardInterrupt:
                    self.stopped = True
                except BaseException:
                    self.stopped = True
                    raise

        done: list[int] = []

        def here(count):
            self.report(count + sum(done.pop() for _ in range(len(done))))

        workers = min(threads(), max(len(jobs), 1))
        in_threads([partial(work, here), *[partial(work, done.append)] * (workers - 1)])
        here(0)


def _task(work: Work, turns: int) -> Task:
    options = work.options
    family = work.model.family
    known = family.dispersion_known or not family.has("logpdf")
    closed = known or family.llf_from_deviance(1.0, 1.0, 0.0) is not None
    return Task(
        tol=np.asarray(options.tol), max_iter=np.asarray(options.max_iter, np.int32), turns=np.asarray(turns, np.int32),
        start=options.start, curvature=options.curvature,
        kind=options.information if family.has_expected else "observed", has_intercept=work.has_intercept,
        has_offset=work.has_offset, meat=work.estimator.sandwiched, density=not closed,
    )  # fmt: skip


def _tiles(work: Work, groups: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
    """Groups of each tile, its lanes, and its rows a lane; longest first, so that threads end together."""
    platform = jax.default_backend()
    numbers = _NUMBERS.get(platform, _NUMBERS_ELSEWHERE)
    most = _MOST_LANES.get(platform, _MOST_LANES_ELSEWHERE)
    width = work.model.layout.n_coefficients + 3
    found = []
    for length, members in _buckets(groups, work.segments.counts[groups]):
        lanes = 1
        while lanes * 2 <= most and lanes * 2 * length * width <= numbers:
            lanes *= 2
        found += [(members[i : i + lanes], lanes, length) for i in range(0, len(members), lanes)]
    return reversed(found)


def _buckets(groups: np.ndarray, counts: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Lengths, and the groups that are filled up to each; few groups go to the next length that is in use."""
    lengths = np.array([ladder(int(c)) for c in np.unique(counts)])
    of_group = lengths[np.searchsorted(np.unique(counts), counts)]
    lengths = np.unique(lengths)
    carried = np.zeros(0, int)
    for i, length in enumerate(lengths):
        members = np.concatenate([carried, groups[of_group == length]])
        if i + 1 < len(lengths) and len(members) * lengths[i + 1] <= _FEW:
            carried = members
            continue
        carried = np.zeros(0, int)
        yield int(length), np.sort(members)


def ladder(count: int) -> int:
    """The least of 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, ... that holds so many rows."""
    size = 8
    while 2 * size < count:
        size *= 2
    if size == 8:
        return 8 if count <= 8 else 12 if count <= 12 else 16
    return next((size * q // 4 for q in (4, 5, 6, 7) if size * q // 4 >= count), 2 * size)


def _tile(work: Work, task: Task, out: Batch, alone: list, still: list, members, lanes: int, length: int) -> int:
    """Fit a tile and put away what its lanes found; the number of groups that are done."""
    rows = _gather(work, members, lanes, length)
    found: Lane = jax.tree.map(lambda a: a[: len(members)], host(fit_tile(work.model, rows, task)))
    fine = ~(found.hard | found.running)
    if found.running.any():
        still.append(members[found.running])
    alone.extend(members[found.hard].tolist())
    _put(work, out, members[fine], jax.tree.map(lambda a: a[fine], found))
    return int(fine.sum())


def _gather(work: Work, members: np.ndarray, lanes: int, length: int) -> Rows:
    """The rows of a tile (L, m, ...), filled up with copies: lanes with the last, rows of a lane with its first."""
    segments = work.segments
    of_lane = np.concatenate([members, np.repeat(members[-1:], lanes - len(members))])
    counts = segments.counts[of_lane][:, None]
    place = np.arange(length)
    present = place < counts
    places = segments.order[segments.starts[of_lane][:, None] + np.where(present, place, 0)]
    plain = work.rows.freq.strides == (0,)
    source = work.rows._replace(freq=work.rows.y) if plain else work.rows
    rows = jax.tree.map(lambda a: np.take(a, places, axis=0), source)
    freq = np.where(present, work.rows.freq[0] if plain else rows.freq, 0.0)
    return jax.tree.map(_stored, rows._replace(freq=freq))


def _stored(a: np.ndarray) -> np.ndarray:
    return a.astype(np.int32 if a.dtype.kind == "i" else float, copy=False)


def _put(work: Work, out: Batch, at: np.ndarray, lane: Lane) -> None:
    """Numbers of lanes that have ended well, or are separated."""
    family, facts, sums = work.model.family, lane.facts, lane.sums
    nobs = np.asarray(facts.n_obs, float)
    df_resid = nobs - lane.active[:, : work.model.layout.designs[0].n_columns].sum(axis=1)
    if family.dispersion_known:
        scale = np.ones(len(at))
    else:
        scale = np.where(df_resid > 0, sums.pearson / np.where(df_resid > 0, df_resid, 1.0), np.nan)
    out.theta[at] = np.where(lane.active, lane.theta, np.nan)
    estimated = lane.active & ~lane.held
    variances = work.estimator.variances(Diagonals(lane.bread, lane.sandwich, scale, nobs, df_resid))
    out.variances[at] = np.where(estimated, variances, np.nan)
    out.active[at], out.held[at], out.status[at], out.n_iter[at] = lane.active, lane.held, lane.status, lane.n_iter
    out.deviance[at], out.null_deviance[at], out.pearson_chi2[at] = sums.deviance, sums.null_deviance, sums.pearson
    out.scale[at], out.nobs[at], out.df_resid[at] = scale, nobs, df_resid
    out.df_null[at] = nobs - work.has_intercept
    llf = _llf(work, lane, nobs)
    count = lane.active.sum(axis=1) + (not family.dispersion_known)
    out.llf[at], out.aic[at], out.bic[at] = llf, -2.0 * llf + 2.0 * count, -2.0 * llf + np.log(nobs) * count
    gone = at[lane.status == Status.SEPARATED]
    if len(gone):
        out.clear(gone, int(Status.SEPARATED))


def _llf(work: Work, lane: Lane, nobs: np.ndarray) -> np.ndarray:
    family, sums = work.model.family, lane.sums
    if work.options.probability_weights:
        return np.full(len(nobs), np.nan)
    if family.dispersion_known or not family.has("logpdf"):
        return sums.llf
    count = nobs if family.prior_divides_phi else lane.facts.weight
    if family.llf_from_deviance(1.0, 1.0, 0.0) is None:
        return sums.llf
    triples = zip(sums.deviance.tolist(), count.tolist(), sums.log_prior.tolist(), strict=True)
    return np.array([family.llf_from_deviance(*triple) for triple in triples])


def rows_of(work: Work, group: int) -> Rows:
    """The rows of one group."""
    places = work.segments.rows(group)
    return jax.tree.map(lambda a: np.take(a, places, axis=0), work.rows)


def fit_alone(work: Work, group: int) -> Fit:
    """The fit of one group by itself; call it inside :func:`jaxglm.precision.scope`.

    Raises
    ------
    DataError, FitError
        As :func:`jaxglm.fit.fit_source`; rows are named as in the whole data.
    """
    rows, places = rows_of(work, group), work.segments.rows(group)
    length = next((size for size in _LENGTHS if size >= len(places)), None)
    if length is None or jax.default_backend() != "cpu":
        source = ArraySource.from_rows(rows, owned=True)
    else:
        source = ArraySource([to_device(pad(rows, length))], [len(places)])
    return fit_source(
        source, work.model, work.options, has_intercept=work.has_intercept, has_offset=work.has_offset,
        name_row=lambda i: work.name_row(int(places[i])), name_column=work.name_column, natural=work.natural,
    )  # fmt: skip


def _alone(work: Work, out: Batch, group: int) -> int:
    """Fit one group by itself and put away what it found; 1."""
    try:
        fit = fit_alone(work, group)
    except (DataError, FitError) as error:
        out.messages[int(group)] = str(error)
        out.clear(group, int(Status.UNUSABLE))
        out.nobs[group] = float(np.sum(work.rows.freq[work.segments.rows(group)]))
        return 1
    made = covariance(replace(fit, witness=None), work.estimator, None)
    out.theta[group], out.variances[group] = fit.theta, np.diagonal(made.matrix)
    out.active[group], out.held[group] = fit.rank.active, fit.held
    out.status[group], out.n_iter[group] = int(fit.status), fit.n_iter
    for name in ("deviance", "null_deviance", "pearson_chi2", "scale", "llf", "nobs", "df_resid", "df_null"):
        getattr(out, name)[group] = getattr(fit, name)
    out.aic[group], out.bic[group] = aic(fit), bic(fit)
    if fit.status is Status.SEPARATED:
        out.clear(group, int(fit.status))
    return 1
