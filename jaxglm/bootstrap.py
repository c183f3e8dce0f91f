"""Refits of one model to drawn weights or drawn responses: arrays in, arrays out."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import partial

import jax
import numpy as np

from jaxglm.batched import stored
from jaxglm.errors import DataError, DataWarning, FitError, InputError, InputTypeError, NotAvailableError, Status
from jaxglm.fit import fit_source
from jaxglm.fitted import Fit
from jaxglm.groups import LITTLE, Queue, Take, in_tiles, ladder, lanes_of
from jaxglm.inference.simulate import Sampler
from jaxglm.kernels import Itself, Rows, Scores
from jaxglm.solvers.batch import Lane, Task, fit_tile
from jaxglm.solvers.loops import Patience
from jaxglm.sources import ArraySource
from jaxglm.sources.base import pad


class Draws(ABC):
    """What a replicate has of its own; that of one depends on the seed and its number, and on nothing else."""

    #: The leaf of the rows that is drawn.
    name: str

    @abstractmethod
    def __call__(self, number: int) -> np.ndarray:
        """The values of all rows, (n,)."""


@dataclass(frozen=True)
class Weights(Draws):
    """How often each row is drawn.

    Attributes
    ----------
    seed : int
    freq : (n,) observations that a row stands for; as many as there are in all are drawn from them
    clusters : (n,) codes from 0 without gaps, or None; with them as many clusters as there are are drawn whole
    """

    seed: int
    freq: np.ndarray
    clusters: np.ndarray | None = None
    name = "freq"

    def __call__(self, number: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, number])
        n = len(self.freq)
        if self.clusters is not None:
            size = int(self.clusters.max()) + 1
            return self.freq * np.bincount(rng.integers(0, size, size), minlength=size)[self.clusters]
        if (self.freq == 1.0).all():
            return np.bincount(rng.integers(0, n, n), minlength=n).astype(float)
        total = self.freq.sum()
        return rng.multinomial(int(total), self.freq / total).astype(float)


@dataclass(frozen=True)
class Responses(Draws):
    """Responses from the fitted distribution."""

    sampler: Sampler
    seed: int
    name = "y"

    def __call__(self, number: int) -> np.ndarray:
        return self.sampler(jax.random.key_data(jax.random.fold_in(jax.random.key(self.seed), number)))


@dataclass(frozen=True)
class Replicates:
    """B refits as arrays, in the order of their numbers.

    Attributes
    ----------
    theta : (B, P); NaN where aliased in a refit, and everywhere where it has no estimate
    held : (B, P) bool, see :class:`~jaxglm.fitted.Fit`
    status, n_iter : (B,) int
    scale : (B,) dispersion
    messages : dict from the number of a refit to why its rows cannot be used
    """

    theta: np.ndarray
    held: np.ndarray
    status: np.ndarray
    n_iter: np.ndarray
    scale: np.ndarray
    messages: dict[int, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, count: int, width: int) -> Replicates:
        """None of them fitted yet."""
        return cls(
            np.full((count, width), np.nan), np.zeros((count, width), bool), np.full(count, int(Status.NOT_FITTED)),
            np.zeros(count, int), np.full(count, np.nan),
        )  # fmt: skip


@dataclass(frozen=True)
class _Job:
    """All that refits of one model share."""

    fit: Fit
    rows: Rows
    draws: Draws
    out: Replicates


def weights(rows: Rows, seed: int, clusters: np.ndarray | None) -> Weights:
    """Draws of rows, or of clusters whose codes (n,) are given.

    Raises
    ------
    InputError
        freq_weights that count no observations, or one cluster.
    """
    if clusters is not None:
        clusters = np.unique(clusters, return_inverse=True)[1]
        if clusters.max() == 0:
            raise InputError("all rows are in one cluster; a bootstrap of clusters needs two at least")
    elif (rows.freq != np.floor(rows.freq)).any():
        raise InputError(
            "a bootstrap draws observations, so freq_weights must be whole numbers; use var_weights= or prob_weights= "
            "if that is what they mean, or cluster= to draw rows in clusters"
        )
    return Weights(seed, rows.freq, clusters)


def responses(fit: Fit, rows: Rows, seed: int, count: int = 1) -> Responses:
    """Draws from the fitted distribution, `count` of each row.

    Raises
    ------
    InputError
        Rows stand for several observations, which would each have a response.
    NotAvailableError
        The family has no distribution to draw from.
    """
    if fit.options.probability_weights or (rows.freq != 1.0).any():
        kind = "prob_weights" if fit.options.probability_weights else "freq_weights"
        raise InputError(
            f"under {kind}= a row stands for several observations, which would each have a response of its own; "
            "use kind='weights', or repeat the rows"
        )
    return Responses(Sampler.of(fit, "bootstrap(kind='parametric')", count), seed)


def acceleration(fit: Fit, draws: Weights) -> np.ndarray:
    """How fast the standard error of each coefficient changes with it, (P,); call it inside the scope of precision.

    It is a sixth of the skewness of what single observations, or clusters, add to the estimate (Efron 1987, section 7),
    from the scores and the reported information: one pass, 8 n P bytes.
    """
    scores = fit.rows.map_rows(Scores(), fit.careful, fit.coefficients)
    if draws.clusters is None:
        times, scores = draws.freq[:, None], scores / draws.freq[:, None]
    else:
        whole = np.zeros((int(draws.clusters.max()) + 1, scores.shape[1]))
        np.add.at(whole, draws.clusters, scores)
        times, scores = 1.0, whole
    # Scores are those of the negative log-likelihood.
    moves = -scores @ np.asarray(fit.bread.inverse())
    with np.errstate(all="ignore"):
        return (times * moves**3).sum(axis=0) / (6.0 * (times * moves**2).sum(axis=0) ** 1.5)


def rows_of(fit: Fit) -> Rows:
    """The fitted rows on the host; call it inside :func:`jaxglm.precision.scope`.

    Raises
    ------
    NotAvailableError
        They were not kept, or are read in pieces.
    """
    source = fit.rows
    if source.read_anew:
        raise NotAvailableError(
            "bootstrap() refits to rows in memory, but these come in pieces; with_cov('HC1'), or jg.Cluster(...) for "
            "clusters, takes one pass and estimates the standard errors that redrawn rows would show. Or fit a frame "
            "in memory, such as a sample of the rows"
        )
    rows = source.map_rows(Itself(), fit.model, None)
    return jax.tree.map(stored, rows._replace(codes={}))


def refit(fit: Fit, rows: Rows, draws: Draws, count: int) -> tuple[Replicates, bool]:
    """Fit the model again to each of so many draws; call it inside :func:`jaxglm.precision.scope`.

    Returns
    -------
    Replicates
    bool
        Whether all was done; False after an interrupt, which leaves the others NOT_FITTED.

    Notes
    -----
    Refits to few rows share one copy of the design, a tile of them at a time on each core. Those that need a slow path
    are fitted alone, as are all where rows or coefficients are many.
    """
    out = Replicates.empty(count, fit.model.layout.n_coefficients)
    job = _Job(fit, rows, draws, out)
    queue = Queue(lambda done: None)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            few = in_tiles(len(rows.y), fit.model.layout.n_coefficients)
            alone = _by_tiles(job, queue) if few else range(count)
            queue.run([partial(_alone, job, number) for number in sorted(alone)])
        except KeyboardInterrupt:
            queue.stopped = True
    return out, not queue.stopped


def _by_tiles(job: _Job, queue: Queue) -> list[int]:
    """Fit replicates side by side; those that have to be fitted alone."""
    length = ladder(len(job.rows.y))
    lanes = lanes_of(length, job.fit.model.layout.n_coefficients + 3)
    shared = pad(job.rows, length)

    def jobs(left, patience, take):
        task, tiles = _task(job.fit, patience), [left[i : i + lanes] for i in range(0, len(left), lanes)]
        return [partial(_tile, job, task, shared, take, members, lanes) for members in tiles]

    return queue.in_tiles(np.arange(len(job.out.status)), jobs)


def _task(fit: Fit, patience: Patience) -> Task:
    """Without what inference would need; from the fit where that is sure to be near."""
    options, family = fit.options, fit.model.family
    near = fit.status.converged and fit.rank.active.all() and family.limit is None and not family.quadratic
    return Task(
        tol=np.asarray(options.tol), max_iter=np.asarray(options.max_iter, np.int32), patience=patience,
        start=fit.theta if near else None, curvature=options.curvature, kind=fit.information, has_intercept=False,
        has_offset=False,
    )  # fmt: skip


def _tile(job: _Job, task: Task, shared: Rows, take: Take, members: np.ndarray, lanes: int) -> int:
    """Fit some replicates side by side; the number of those that are done."""
    name, n = job.draws.name, len(job.rows.y)
    own = np.zeros((lanes, len(shared.y)))
    for lane, number in enumerate(members.tolist()):
        own[lane, :n] = job.draws(number)
    if name == "y":
        own[:, n:] = own[:, :1]
    own[len(members) :] = own[len(members) - 1]
    axes = Rows(x=None, y=None, freq=None, prior=None, offset=None, aux=None, codes=None)._replace(**{name: 0})
    fit = fit_tile.quick if len(job.out.status) * n <= LITTLE else fit_tile
    at, found = take(members, fit(job.fit.model, shared._replace(**{name: own}), task, axes))
    _put(job, at, found)
    return len(at)


def _put(job: _Job, at: np.ndarray, lane: Lane) -> None:
    out, model = job.out, job.fit.model
    estimated = (lane.status != Status.SEPARATED)[:, None]
    out.theta[at] = np.where(lane.active & estimated, lane.theta, np.nan)
    out.held[at], out.status[at], out.n_iter[at] = lane.held & estimated, lane.status, lane.n_iter
    scale = np.ones(len(at))
    if not model.family.dispersion_known:
        df = np.asarray(lane.facts.n_obs) - lane.active[:, : model.layout.designs[0].n_columns].sum(axis=1)
        scale = np.where(df > 0, lane.sums.pearson / np.where(df > 0, df, 1.0), np.nan)
    out.scale[at] = np.where(estimated[:, 0], scale, np.nan)


def _alone(job: _Job, number: int) -> int:
    """Fit one replicate by itself; 1."""
    fit, out = job.fit, job.out
    rows = job.rows._replace(**{job.draws.name: job.draws(number)})
    drawn = np.flatnonzero(rows.freq > 0)
    if len(drawn) < len(rows.y):
        rows = jax.tree.map(lambda a: a[drawn], rows)
    source, options = ArraySource.from_rows(rows, owned=True), replace(fit.options, start=None)
    try:
        made = fit_source(source, fit.model, options, has_intercept=False, has_offset=True, natural=fit.natural)
    except (DataError, FitError) as error:
        out.messages[number], out.status[number] = str(error), int(Status.UNUSABLE)
        return 1
    out.status[number], out.n_iter[number] = int(made.status), made.n_iter
    if made.status is not Status.SEPARATED:
        out.theta[number], out.held[number], out.scale[number] = made.theta, made.held, made.scale
    return 1


def check(count: int, seed: int | None) -> int:
    """The seed, or one that differs from call to call.

    Raises
    ------
    InputTypeError, InputError
        No whole number, or fewer than two refits.
    """
    for name, value in (("B", count), ("seed", 0 if seed is None else seed)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise InputTypeError(f"{name} must be a whole number, not {value!r}")
    if count < 2:
        raise InputError(f"B is the number of refits and must be at least 2, not {count}")
    if seed is not None and not 0 <= seed < 2**31:
        raise InputError(f"seed must be between 0 and 2147483647, not {seed}")
    return int(np.random.default_rng().integers(2**31)) if seed is None else int(seed)
