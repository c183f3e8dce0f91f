"""Many fits of one model, each to rows of its own: arrays in, arrays out, no names and no tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from jaxglm.batched import BUFFERS, Batch, Dependences, Shape, Work, cuts
from jaxglm.errors import DataError, DataWarning, FitError, InputError, Status
from jaxglm.fit import fit_source
from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Diagonals, covariance
from jaxglm.inference.likelihood import aic, bic
from jaxglm.kernels import Matrix, Model, Rows
from jaxglm.precision import host, in_threads, scope, threads
from jaxglm.solvers.batch import Lane, Task, fit_tile
from jaxglm.solvers.loops import Patience
from jaxglm.sources import ArraySource
from jaxglm.sources.base import pad, to_device
from jaxglm.together import Tables

#: Numbers that the rows of a tile hold: on a CPU, and elsewhere.
_NUMBERS, _NUMBERS_ELSEWHERE = {"cpu": 2**18}, 2**26
#: Numbers of the lanes of a tile that a CPU computes with at once, so that what is made of them stays in its cache.
_AT_ONCE = 2**16
#: Most lanes of a tile.
_MOST_LANES, _MOST_LANES_ELSEWHERE = {"cpu": 512}, 2**14
#: Rows above which a group is fitted alone, which takes chunks of them and all threads.
_LONG = 2**14
#: Coefficients above which groups are fitted alone, since a tile holds all columns as numbers.
WIDE = 96
#: Padded rows of one length below which code that is slow but soon compiled fits them sooner.
LITTLE = 2**15
#: With lanes at first, and with those that are gathered in tiles of their own since they need more.
_PATIENCE = tuple(Patience(*(np.asarray(n, np.int32) for n in numbers)) for numbers in ((12, 0), (2**30, -12)))
#: Rows that small groups are filled up to where they are fitted alone, so that few shapes are compiled.
_LENGTHS = (512, 4096, 2**15)
_ENDED = (Status.CONVERGED, Status.CONVERGED_TO_PRECISION, Status.NO_OVERDISPERSION)


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
    queue = Queue(report)
    in_lanes = (counts > 0) & in_tiles(_lengths(work), work.model.layout.n_coefficients)
    # Responses that lack rows may lack whole clusters, too.
    gaps = work.estimator.reads_beside and not work.segments.routed and not work.segments.whole
    if gaps or work.estimator.variances(_NO_FITS) is None:
        in_lanes[:] = False
    alone = list(np.flatnonzero((counts > 0) & ~in_lanes))
    for g in np.flatnonzero(counts == 0):
        out.clear(g, int(Status.UNUSABLE))
        out.messages[int(g)] = "it has no complete row (all values, and a weight)"
        out.nobs[g] = 0.0
    with scope(), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            tables = Tables.of(work)

            def jobs(left, patience, take):
                task = _task(work, patience)
                return [partial(_tile, work, task, tables, out, take, *tile) for tile in _tiles(work, left, tables)]

            alone = sorted(alone + queue.in_tiles(np.flatnonzero(in_lanes), jobs))
            small = [g for g in alone if counts[g] <= _LENGTHS[-1]]
            queue.run([partial(_alone, work, out, g) for g in small])
            for g in alone:
                if counts[g] > _LENGTHS[-1] and not queue.stopped:
                    report(_alone(work, out, g))
        except KeyboardInterrupt:
            queue.stopped = True
        finally:
            BUFFERS.__dict__.clear()
    return out, not queue.stopped


_NO_FITS = Diagonals(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0), np.zeros(0), np.zeros(0))


class Queue:
    """Jobs dealt out to a few threads; an interrupt lets those that run end and drops the others."""

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

        # One more than cores, since they wait for each other's interpreter; elsewhere a tile takes much memory.
        workers = min(threads() + (jax.default_backend() == "cpu"), max(len(jobs), 1))
        in_threads([partial(work, here), *[partial(work, done.append)] * (workers - 1)])
        here(0)

    def in_tiles(self, lanes: np.ndarray, jobs: Callable[[np.ndarray, Patience, Take], list]) -> list[int]:
        """Fit lanes in tiles, and those that take many turns again, in tiles of their own; what has to be fitted alone.

        `jobs` gives those of the tiles for some lanes, the patience with these, and what takes them.
        """
        alone: list[int] = []
        for patience in _PATIENCE:
            still: list[np.ndarray] = []
            self.run(jobs(lanes, patience, partial(_take, alone, still)))
            lanes = np.sort(np.concatenate([np.zeros(0, int), *still]))
            if not len(lanes) or self.stopped:
                break
        return alone


#: From the lanes of a tile, by number and with what it found, to those that have ended well.
Take = Callable[[np.ndarray, Lane], tuple[np.ndarray, Lane]]


def _take(alone: list[int], still: list[np.ndarray], members: np.ndarray, found: Lane) -> tuple[np.ndarray, Lane]:
    """Lanes that have ended well; it is noted which others still run, and which need a slow path."""
    found = jax.tree.map(lambda a: a[: len(members)], host(found))
    fine = ~(found.hard | found.running)
    if found.running.any():
        still.append(members[found.running])
    alone.extend(members[found.hard].tolist())
    return members[fine], jax.tree.map(lambda a: a[fine], found)


def _task(work: Work, patience: Patience) -> Task:
    options, family = work.options, work.model.family
    known = family.dispersion_known or not family.has("logpdf")
    closed = known or family.llf_from_deviance(1.0, 1.0, 0.0) is not None
    return Task(
        tol=np.asarray(options.tol), max_iter=np.asarray(options.max_iter, np.int32), patience=patience,
        start=options.start, curvature=options.curvature,
        kind=options.information if family.has_expected else "observed", has_intercept=work.has_intercept,
        has_offset=work.has_offset, middle=work.estimator.middle, density=not closed,
    )  # fmt: skip


def _tiles(work: Work, groups: np.ndarray, tables: Tables) -> Iterator[tuple[np.ndarray, Shape]]:
    """Groups of each tile, and its shape; longest first, so that threads end together."""
    lengths, width = _lengths(work), work.segments.width(work.model.layout)
    found = []
    for part in (groups[tables.fits[groups]], groups[~tables.fits[groups]]):
        for length, members in _buckets(part, lengths[part]):
            lanes = lanes_of(length, width)
            shape = Shape(lanes, length, _at_once(lanes, length * width), len(members) * length <= LITTLE)
            if tables.size:
                # Lanes of a tile look at as many values as the largest of them has.
                members = members[np.argsort(tables.tops[members], kind="stable")]
            found += [(members[i : i + lanes], shape) for i in range(0, len(members), lanes)]
    return reversed(found)


def _at_once(lanes: int, numbers: int) -> int:
    """Lanes of so many numbers each that are computed at once, a divisor of all."""
    while jax.default_backend() == "cpu" and lanes > 1 and lanes * numbers > _AT_ONCE:
        lanes //= 2
    return lanes


def _lengths(work: Work) -> np.ndarray:
    """Rows of each lane, (G,)."""
    counts = work.segments.counts
    return counts if work.segments.routed else np.full(len(counts), len(work.rows.y))


def in_tiles(counts: np.ndarray | int, width: int) -> np.ndarray | bool:
    """Whether data sets of so many rows and coefficients are fitted side by side."""
    return (counts <= _LONG) & (width <= WIDE)


def lanes_of(length: int, width: int) -> int:
    """Lanes of a tile whose lanes have so many rows of so many numbers."""
    platform = jax.default_backend()
    numbers = _NUMBERS.get(platform, _NUMBERS_ELSEWHERE)
    most = _MOST_LANES.get(platform, _MOST_LANES_ELSEWHERE)
    lanes = 1
    while lanes * 2 <= most and lanes * 2 * length * width <= numbers:
        lanes *= 2
    return lanes


def _buckets(groups: np.ndarray, counts: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Lengths, and the groups that are filled up to each, so that rows and shapes together cost least."""
    sizes, of_group = np.unique(counts, return_inverse=True)
    rungs = np.array([ladder(int(c)) for c in sizes])[of_group]
    lengths, rung = np.unique(rungs, return_inverse=True)
    for first, last in cuts(lengths, np.bincount(rung)):
        there = (rung >= first) & (rung <= last)
        yield _filled(counts[there], int(lengths[last])), groups[there]


def _filled(counts: np.ndarray, rung: int) -> int:
    """Rows that groups are filled up to: a rung, or less where so many are so much alike that it pays."""
    most = int(counts.max())
    pays = len(counts) * rung > LITTLE and most - int(counts.min()) <= most // 8
    return min(-(-most // 8) * 8, rung) if pays else rung


def ladder(count: int) -> int:
    """The least of 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, ... that holds so many rows."""
    size = 8
    while 2 * size < count:
        size *= 2
    if size == 8:
        return 8 if count <= 8 else 12 if count <= 12 else 16
    return next((size * q // 4 for q in (4, 5, 6, 7) if size * q // 4 >= count), 2 * size)


def _tile(work: Work, task: Task, tables: Tables, out: Batch, take: Take, members: np.ndarray, shape: Shape) -> int:
    """Fit a tile and put away what its lanes found; the number of groups that are done."""
    rows, axes = work.segments.tile(work.rows, members, shape.lanes, shape.length)
    counts = tables.count(rows) if tables.fits[members].all() else None
    fit = fit_tile.quick if shape.little else fit_tile
    at, found = take(members, fit(work.model, rows, task, axes, counts, shape.at_once))
    _put(work, out, at, found)
    return len(at)


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
    variances = work.estimator.variances(
        Diagonals(lane.bread, lane.sandwich, scale, nobs, df_resid, work.options.probability_weights)
    )
    out.variances[at] = np.where(estimated, variances, np.nan)
    if work.codes is not None:
        lost = np.isnan(np.where(estimated, variances, 0.0)).any(axis=1) & (lane.status != Status.SEPARATED)
        for g in at[lost]:
            _look(work, out, int(g))
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


def _look(work: Work, out: Batch, group: int) -> None:
    """Note why a group cannot have its covariance, if it is for what that reads."""
    try:
        work.beside(group)
    except InputError as error:
        out.gaps[group] = str(error)


def rows_of(work: Work, group: int) -> Rows:
    """The rows of one group."""
    return work.segments.pick(work.rows, group)


#: Rows of which columns are made at a time.
_ROWS = 2**16


def dependences(work: Work, aliased: np.ndarray) -> Dependences:
    """What aliased columns of some groups depend on; call it inside :func:`jaxglm.precision.scope`.

    Parameters
    ----------
    aliased : (G, P) bool, aliased columns of the groups that are asked for

    Notes
    -----
    Cost O(n P^2) for the rows of these groups; memory of their columns, 2^16 rows at a time.
    """
    counts, groups = work.segments.counts, np.flatnonzero(aliased.any(axis=1))
    found = [(np.zeros(0, int), np.zeros((0, aliased.shape[1])))]
    for part in np.split(groups, np.flatnonzero(np.diff(np.cumsum(counts[groups]) // _ROWS)) + 1):
        if not len(part):
            continue
        places = np.concatenate([work.segments.rows(g) for g in part])
        columns = columns_of(work.model, jax.tree.map(lambda a, at=places: np.take(a, at, axis=0), work.rows))
        for g, own in zip(part, np.split(columns, np.cumsum(counts[part])[:-1]), strict=True):
            weights = _combinations(own, aliased[g])
            found.append((np.full(len(weights), g), weights))
    group, weights = zip(*found, strict=True)
    return Dependences(np.concatenate(group), np.concatenate(weights))


def _combinations(columns: np.ndarray, aliased: np.ndarray) -> np.ndarray:
    """For each aliased column the combination with the others that is 0, (q, P)."""
    length = np.sqrt((columns**2).sum(axis=0))
    length = np.where(length > 0, length, 1.0)
    scaled = columns / length
    solved = np.linalg.lstsq(scaled[:, ~aliased], scaled[:, aliased], rcond=None)[0]
    weights = np.zeros((int(aliased.sum()), len(aliased)))
    weights[:, ~aliased] = -solved.T
    weights[np.arange(len(weights)), np.flatnonzero(aliased)] = 1.0
    return weights / length


def columns_of(model: Model, rows: Rows) -> np.ndarray:
    """All columns of rows, (m, P); each coefficient belongs to one predictor, so these are the rows of all."""
    return ArraySource.from_rows(rows).map_rows(Matrix(), model, None)["columns"].sum(axis=1)


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
        out.nobs[group] = float(np.sum(rows_of(work, group).freq))
        return 1
    out.theta[group] = fit.theta
    try:
        made = covariance(replace(fit, witness=None), work.estimator, work.beside(group))
        out.variances[group] = np.diagonal(made.matrix)
    except InputError as error:
        out.gaps[int(group)] = str(error)
    out.active[group], out.held[group] = fit.rank.active, fit.held
    out.status[group], out.n_iter[group] = int(fit.status), fit.n_iter
    for name in ("deviance", "null_deviance", "pearson_chi2", "scale", "llf", "nobs", "df_resid", "df_null"):
        getattr(out, name)[group] = getattr(fit, name)
    out.aic[group], out.bic[group] = aic(fit), bic(fit)
    if fit.status is Status.SEPARATED:
        out.clear(group, int(fit.status))
        out.gaps.pop(int(group), None)
    return 1
