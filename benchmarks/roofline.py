"""Each pass against what the device can do.

What every kind of pass over the rows moves and computes at least, and the share that this is of what the device reaches
in the same run, in as many threads as the engine uses: memory bandwidth (of reading, scaling and updating long arrays)
and matrix products of large squares, in float64 and in float32. The ratio is the time of a pass over the time that
bandwidth or products alone would need, whichever is longer. Each number of the rows is counted once (weights that are
all 1 belong to one chunk and stay in cache), and of flops the least: 2 for each number of X in X b and in X'r, p + 1
in X'WX, of which half is enough; a factor takes one addition where a column takes two flops. Logarithms and
exponentials of the likelihood are not counted; where columns are few they are most of a pass. "XLA Mflop" is what the
compiler counts of its own program, which makes whole products up to 128 columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import harness
import jax
import jax.numpy as jnp
import numpy as np
from data import columns
from harness import Record
from insurance import COLUMNS as INSURANCE_COLUMNS
from insurance import NAMES
from insurance_data import SMALLEST, policies

from jaxglm import precision
from jaxglm.kernels import Closing, ClosingPoint, Kernel, Model, Newton, Point, Rows, Statistics, Survey
from jaxglm.sources import Source, block_rows
from jaxglm.sources.storage import block_of, row_bytes

ROWS = 1_000_000
#: Share of ROWS and columns of the dense cases, and policies of the insurance portfolio.
NARROW, WIDE, POLICIES = (1.0, 30), (0.2, 200), 600_000
#: Numbers of a long array and rows of a square, by platform: beyond every cache, and enough for full speed.
LONG, SQUARE = {"cpu": (2**24, 1536)}, (2**27, 8192)
#: The smallest of both, for runs on few rows.
LEAST = (2**18, 512)
#: Times as many passes as repeats, since one pass is short.
PASSES = 3


@dataclass(frozen=True)
class Work:
    """What a pass has to do at least: bytes from memory, flops in float64 and in float32."""

    moved: float
    wide: float
    narrow: float = 0.0


@dataclass(frozen=True)
class Ceiling:
    """What the device reaches: bytes a second of each simple program, flops a second of large matrix products."""

    programs: dict[str, float]
    wide: float
    narrow: float

    @property
    def bandwidth(self) -> float:
        """The best of the simple programs."""
        return max(self.programs.values())

    def least(self, work: Work) -> float:
        """Seconds that memory or products alone would take, whichever are more."""
        return max(work.moved / self.bandwidth, work.wide / self.wide + work.narrow / self.narrow)

    def __str__(self) -> str:
        each = ", ".join(f"{name} {speed / 1e9:.3g}" for name, speed in self.programs.items())
        return (
            f"the device reaches {self.bandwidth / 1e9:.3g} GB/s ({each}) and {self.wide / 1e9:.3g} Gflop/s in "
            f"float64, {self.narrow / 1e9:.3g} in float32; threads: {precision.threads()}"
        )


def ceiling(scale: float, repeats: int) -> Ceiling:
    """Measure the device; call it inside :func:`jaxglm.precision.scope`."""
    long, square = (
        max(int(size * min(scale, 1.0)), least)
        for size, least in zip(LONG.get(jax.default_backend(), SQUARE), LEAST, strict=True)
    )
    share = long // precision.threads() // 512
    # Sums of columns, because a compiler may not reorder the terms of a single sum.
    read = jax.jit(lambda a: jnp.sum(a, axis=0))
    grow = jax.jit(lambda a: 1.000001 * a, donate_argnums=0)
    update = jax.jit(lambda a, b: a + 1e-6 * b, donate_argnums=0)
    product = jax.jit(partial(jnp.matmul, precision=precision.MATMUL))

    def long_array():
        return jnp.ones((share, 512)) + jnp.arange(512)

    def squares(dtype):
        return [jnp.ones((square, square), dtype)] * 2

    bytes_once = 8.0 * 512 * share
    return Ceiling(
        {
            "read": _speed(read, lambda: [long_array()], bytes_once, repeats),
            "scale": _speed(grow, lambda: [long_array()], 2 * bytes_once, repeats),
            "update": _speed(update, lambda: [long_array(), long_array()], 3 * bytes_once, repeats),
        },
        _speed(product, partial(squares, jnp.float64), 2.0 * square**3, repeats),
        _speed(product, partial(squares, jnp.float32), 2.0 * square**3, repeats),
    )


def _speed(program: Callable, inputs: Callable, amount: float, repeats: int) -> float:
    """Best amount a second over all threads, each with inputs of its own."""
    best = np.inf
    for turn in range(repeats + 1):
        made = [jax.block_until_ready(inputs()) for _ in range(precision.threads())]
        jobs = [partial(lambda a: jax.block_until_ready(program(*a)), arrays) for arrays in made]
        seconds, _ = _timed(lambda jobs=jobs: precision.in_threads(jobs))
        if turn:
            best = min(best, seconds)
    return len(made) * amount / best


def _timed(function: Callable) -> tuple[float, object]:
    start = time.perf_counter()
    made = function()
    return time.perf_counter() - start, made


def passes(model: Model, theta: np.ndarray, factors: bool) -> Iterator[tuple[str, str, Kernel, object]]:
    """Name, words, kernel and point of each kind of pass that the engine makes over such a design."""
    at = Point(theta, np.asarray(False), None, np.asarray(0.0))
    yield "gradient", "gradient alone", Newton(gram="none"), at
    yield "full", "information", Newton(), at
    if not factors:
        yield "coarse", "information, products in float32", Newton(gram="coarse"), at
    closing = Closing(statistics=Statistics(model.family.dispersion_known))
    yield "closing", "closing pass", closing, ClosingPoint(at, np.asarray(0.0), np.asarray(1.0))
    yield "survey", "survey", Survey(), None


def work(name: str, model: Model, rows: Rows, n: int) -> Work:
    """What a pass over n rows has to do at least; see the head of this file."""
    parts = [part for design in model.layout.designs for part, _ in design.parts]
    factors = sum(hasattr(part, "coding") for part in parts)
    # Rows of the intercept are the empty tuple: its products are sums of the weights and of other columns.
    numbers = sum(part.n_columns for part in parts if not hasattr(part, "coding")) - 1
    beside = sum(a.dtype.itemsize * int(np.prod(a.shape[1:])) for a in jax.tree.leaves(rows._replace(x=(), freq=())))
    product = 2.0 * numbers + factors
    gram = numbers * (numbers + 1.0) + 2.0 * numbers * factors + factors * (factors + 1) / 2 + product
    wide, narrow = {
        "gradient": (2 * product, 0.0),
        "full": (2 * product + gram, 0.0),
        "coarse": (2 * product, gram),
        "closing": (2 * product + gram, 0.0),
        "survey": (product + gram, 0.0),
    }[name]
    return Work(n * (row_bytes(rows) + beside), n * wide, n * narrow)


def compiler_flops(kernel: Kernel, model: Model, point: object, rows: Rows) -> float | None:
    """Flops a row as XLA counts them for a block; None where it does not say."""
    size = block_rows(model, rows)
    block = block_of(rows, 0, size)
    made = jax.jit(lambda model, point, block: kernel.map(model, point, block)).lower(model, point, block).compile()
    said = made.cost_analysis() or {}
    counted = (said[0] if isinstance(said, list) else said).get("flops", 0.0)
    return counted / size if counted > 0 else None


def first_chunk(source: Source) -> Rows:
    """The rows as the device holds them."""
    seen: list[Rows] = []
    source.replace(lambda rows: seen.append(rows) or rows)
    return seen[0]


def designs(scale: float) -> Iterator[tuple[str, str, int, int, Callable]]:
    """Name, words, rows, columns and fit of each case; the fit gives source, model and coefficients."""
    import jaxglm as jg

    for name, family, (share, p) in (("narrow", "poisson", NARROW), ("wide", "binomial", WIDE)):
        n = max(int(ROWS * share * scale), 1000)
        yield name, f"{family}, dense", n, p, lambda f=family, n=n, p=p: jg.fit(*columns(f, n, p), f).fit
    n = max(int(POLICIES * scale), SMALLEST)
    formula = f"claims ~ {' + '.join(NAMES)}"
    yield (
        "factors",
        "poisson, eight factors",
        n,
        INSURANCE_COLUMNS,
        lambda: jg.glm(formula, policies(n), family="poisson", exposure="exposure").fit,
    )


def measure(case: Record, fit, kernel: Kernel, point: object, least: Work, top: Ceiling, repeats: int) -> Record:
    """The record of one pass."""
    once = partial(fit.source.reduce, kernel, fit.model, point)
    seconds = [_timed(lambda: jax.block_until_ready(once()))[0] for _ in range(PASSES * repeats + 1)]
    took, bound = float(np.median(seconds[1:])), top.least(least)
    counted = compiler_flops(kernel, fit.model, point, first_chunk(fit.source))
    figures = {
        "MB": least.moved / 1e6,
        "Mflop": (least.wide + least.narrow) / 1e6,
        "XLA Mflop": None if counted is None else counted * case.n / 1e6,
        "GB/s": least.moved / took / 1e9,
        "Gflop/s": (least.wide + least.narrow) / took / 1e9,
        "% of bandwidth": 100 * least.moved / took / top.bandwidth,
        "% of products": 100 * (least.wide / top.wide + least.narrow / top.narrow) / took,
    }
    return replace(case, ours=took, theirs=bound, ours_first=seconds[0], ratio=took / bound, figures=figures)


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Every kind of pass over every design."""
    with precision.scope():
        top = ceiling(scale, repeats)
    for name, words, n, p, make in designs(scale):
        fit = make()
        rows = first_chunk(fit.source)
        with precision.scope():
            for kind, what, kernel, point in passes(fit.model, fit.coefficients, name == "factors"):
                case = Record(
                    name=f"roofline.{name}.{kind}",
                    what=f"{what}: {words}",
                    n=n,
                    p=p,
                    peer="the roofline",
                    sense="at most",
                    note=str(top),
                )
                yield measure(case, fit, kernel, point, work(kind, fit.model, rows, n), top, repeats)


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
