"""The engine on an accelerator, as far as a machine without one can tell: what lowers, what moves, and in what width."""

import importlib
import inspect
import pkgutil
import re
from collections import Counter
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import source_models
import test_designs
import test_sources
from family_table import FAMILIES

import jaxglm
from jaxglm import design, families, links, precision
from jaxglm.design import Dense, Layout, Split
from jaxglm.design.base import Design
from jaxglm.design.categorical import Coding
from jaxglm.errors import Status
from jaxglm.kernels import (
    Alongside,
    Closing,
    ClosingPoint,
    Deletion,
    DeletionPoint,
    FitPoint,
    Joint,
    Kernel,
    Level,
    Loose,
    Model,
    Newton,
    NullSums,
    Point,
    Predictors,
    Residuals,
    RowMap,
    Rows,
    Setting,
    Slopes,
    Statistics,
    Tangent,
    row_terms,
)
from jaxglm.solvers import drive, newton
from jaxglm.solvers.approach import Frame
from jaxglm.solvers.stochastic import Descent
from jaxglm.sources import ArraySource, base, sums
from jaxglm.sources.walk import walk_chunk, walk_rows

PLATFORMS = ("cpu", "cuda")
#: Relative error of row terms in single precision at moderate eta: some tens of roundings.
SINGLE = 2e-5
#: Parts of one design that has every kind, and so every pair of kinds.
PARTS = (
    "constant", "dense", "columns", "paired", "standardized", "treatment", "sum contrasts", "slopes of sums",
    "combined",
)  # fmt: skip
#: Made inside a tile, of rows that are no longer cut; `test_every_design_lowers_for_gpus` has it.
IN_TILES = {design.Twofold}


def table(p):
    """name: (kernel or row map, point), all there are."""
    return test_sources.kernels(p) | test_sources.row_maps(p) | test_sources.rare_maps(p)


#: Kernels for some families alone; name: (kernel, point, family).
OF_SOME_FAMILIES = {"null model of a log link": (NullSums(), None, families.Poisson())}


#: Kernels whose rows were put into a setting, and what is not kept of a fit.
IN_A_SETTING = {
    "level": (Level(n_groups=2), lambda p: jnp.zeros(p)),
    "slopes": (Slopes(n_groups=2), lambda p: jnp.zeros(p)),
    "tangent": (Tangent(n_groups=2), lambda p: jnp.zeros(p)),
    "loose": (Loose(), lambda p: jnp.ones((p, 1))),
    "alongside": (Alongside(), lambda p: None),
}


def concrete(cls):
    """All classes of the package below one, without the abstract ones."""
    for module in pkgutil.walk_packages(jaxglm.__path__, "jaxglm."):
        if module.name.split(".")[1] in ("design", "kernels", "solvers", "sources", "fit", "inference"):
            importlib.import_module(module.name)
    found, open_ = set(), [cls]
    while open_:
        below = open_.pop().__subclasses__()
        open_ += below
        found |= {c for c in below if c.__module__.startswith("jaxglm.") and not inspect.isabstract(c)}
    return found


def every_kind() -> tuple[Split, tuple]:
    """A design with a part of every kind, and its rows."""
    parts = [test_designs.KINDS[name][:2] for name in PARTS]
    edges = np.cumsum([0, *(kind.n_columns for kind, _ in parts)])
    places = tuple(tuple(range(a, b)) for a, b in zip(edges[:-1], edges[1:], strict=True))
    return Split(tuple(kind for kind, _ in parts), places), tuple(rows for _, rows in parts)


def setting_of(family, designs) -> tuple[Model, Rows]:
    """A model and device rows, one pair of design and rows a predictor."""
    m, k = test_designs.M, len(designs)
    ones = np.ones(m)
    codes = {"firm": np.arange(m, dtype=np.int32) % 7, "year": np.arange(m, dtype=np.int32) % 3}
    rows = Rows(tuple(x for _, x in designs), ones, ones, ones, np.zeros((m, k)), {}, codes)
    return jax.tree.map(jnp.asarray, (Model(family, Layout(tuple(d for d, _ in designs))), rows))


SETTINGS = {
    "one predictor": lambda: setting_of(families.Binomial(links.CLogLog()), [every_kind()]),
    "two predictors": lambda: setting_of(
        families.NegativeBinomial(), [test_designs.KINDS[name][:2] for name in ("split", "dense")]
    ),
}


def lower(function, *arguments):
    """The module for a CPU and for a GPU that need not be here."""
    made = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
    assert made.platforms == PLATFORMS
    return made


def whole(kernel, model, point, rows):
    """The finished value of rows that are one block."""
    return kernel.finish(model, base.reduce_rows(kernel, model, point, rows, rows.y.shape[0]))


def test_every_kernel_has_a_point():
    """What sums or maps rows must work on every source and platform, so it stands in the tables of the sources."""
    seen, open_ = (
        set(),
        [kernel for kernel, *_ in (*table(3).values(), *OF_SOME_FAMILIES.values(), *IN_A_SETTING.values())],
    )
    while open_:
        kernel = open_.pop()
        seen.add(type(kernel))
        open_ += kernel.kernels if isinstance(kernel, Joint) else ()
    # What is private stands for any of the others and only leaves out its end.
    open_to_all = {c for c in concrete(Kernel) | concrete(RowMap) if not c.__name__.startswith("_")}
    missing = sorted(c.__name__ for c in open_to_all - seen)
    assert not missing, (
        f"add a point for kernel {', '.join(missing)} to kernels(), row_maps() or rare_maps() of "
        f"tests/laws/test_sources.py, or to OF_SOME_FAMILIES of {__name__}"
    )


def test_every_kind_of_design_takes_part():
    parts = every_kind()[0].kinds
    seen = {Split, *IN_TILES, *map(type, parts), *(type(part.coding) for part in parts if hasattr(part, "coding"))}
    missing = sorted(c.__name__ for c in (concrete(Design) | concrete(Coding)) - seen)
    assert not missing, (
        f"add a part of kind {', '.join(missing)} to PARTS of {__name__}, from tests/laws/test_designs.py"
    )
    assert {cls for _, cls in inspect.getmembers(design, inspect.isclass)} >= seen


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_kernel_lowers_for_gpus(setting, x64):
    """`jax.export` makes code for platforms that this machine lacks."""
    model, rows = SETTINGS[setting]()
    m = rows.y.shape[0]

    def one_of_many(kernel, point):
        """A chunk of two blocks, added to what came before, as the loop on the host does."""
        zero = kernel.zero(jax.eval_shape(lambda: kernel.map(model, point, rows)))
        return kernel.finish(model, base.add_chunk(kernel, model, point, rows, jnp.asarray(m - 1), m // 2, zero))

    def values(kernel, point):
        if isinstance(kernel, RowMap):
            return kernel.map(model, point, rows)
        part = one_of_many(kernel, point) if model.layout.n_predictors == 1 else None
        return part, whole(kernel, model, point, rows)

    kernels = table(model.layout.n_coefficients)
    points = {name: point for name, (_, point) in kernels.items()}
    try:
        # In one module, which takes two thirds of the time of one each.
        made = lower(lambda points: {name: values(k, points[name]) for name, (k, _) in kernels.items()}, points)
    except Exception as whole_error:
        for name, (kernel, point) in kernels.items():
            try:
                lower(lambda point, k=kernel: values(k, point), point)
            except Exception as error:
                raise AssertionError(f"{name} ({type(kernel).__name__}) does not lower") from error
        raise AssertionError("each kernel lowers, but not all of them together") from whole_error
    # Double precision on both platforms, as long as the scope is open.
    assert all(leaf.dtype != np.float32 for leaf in made.out_avals)


@pytest.mark.parametrize("name", OF_SOME_FAMILIES)
def test_kernels_of_some_families_lower_for_gpus(name, x64):
    kernel, point, family = OF_SOME_FAMILIES[name]
    model, rows = setting_of(family, [every_kind()])
    lower(lambda rows: whole(kernel, model, point, rows), rows)


@pytest.mark.parametrize("name", IN_A_SETTING)
def test_kernels_of_margins_lower_for_gpus(name, x64):
    kernel, point_of = IN_A_SETTING[name]
    for make in SETTINGS.values():
        model, rows = make()
        group = jnp.arange(rows.y.shape[0]) % 2
        put = rows._replace(x=Setting(rows.x, (rows.x, rows.x), rows.offset, rows.y, group))
        point = point_of(model.layout.n_coefficients)
        if isinstance(kernel, RowMap):
            lower(lambda rows, m=model, p=point: kernel.map(m, p, rows), put)
        else:
            lower(lambda rows, m=model, p=point: whole(kernel, m, p, rows), put)


def test_deletion_of_rows_with_two_predictors_lowers_for_gpus(x64):
    """With both matrices of a sandwich, which the table leaves out."""
    model, rows = SETTINGS["two predictors"]()
    unit = jnp.eye(model.layout.n_coefficients)
    out = DeletionPoint(unit[0], unit, unit, jnp.asarray(True), jnp.asarray(1.0))
    lower(lambda rows: Deletion().map(model, out, rows), rows)


@pytest.mark.parametrize("kind", test_designs.KINDS)
def test_every_design_lowers_for_gpus(kind, x64):
    """By itself, in one block and without the other kinds."""
    model, rows = setting_of(families.Poisson(), [test_designs.KINDS[kind][:2]])
    theta = jnp.zeros(model.layout.n_coefficients)
    point = Point(theta, jnp.asarray(True), None, jnp.asarray(0.4))
    kernel = Joint((Newton(), Newton(gram="coarse"), Predictors()))
    lower(lambda point: [k.map(model, point if isinstance(k, Kernel) else theta, rows) for k in kernel.kernels], point)


@pytest.fixture(scope="module", params=["binomial", "negative_binomial"])
def loop(request):
    """Model, device rows, a state ready to loop, settings, and the kernel of a step."""
    with precision.scope():
        model = source_models.model(request.param)
        source = ArraySource.from_rows(source_models.rows(model.family))
        facts = drive.survey(source, model)
        settings = newton.Settings(jnp.asarray(1e-8), jnp.asarray(50), jnp.asarray(facts.n_obs), True, "late")
        p = model.layout.n_coefficients
        # One predictor starts from the rows, two from constants near the estimate.
        one = model.layout.n_predictors == 1
        theta = jnp.zeros(p) if one else jnp.zeros(p).at[jnp.asarray([0, p - 2])].set(jnp.asarray([1.2, -0.5]))
        state = newton.begin(theta, jnp.ones(p, bool), jnp.asarray(0.3), settings, one)
        return model, source.resident, state, settings, Newton(scoring=model.family.has("scoring"))


def primitives(jaxpr, found):
    """Names of all primitives, those inside others too."""
    for equation in jaxpr.eqns:
        found[equation.primitive.name] += 1
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                primitives(inner, found)
    return found


def test_the_device_loop_is_one_loop(loop, x64):
    model, rows, state, settings, kernel = loop
    arguments = (model, rows, state, settings, rows.y.shape[0], kernel)
    found = primitives(jax.make_jaxpr(drive.device_loop.plain, static_argnums=(4, 5))(*arguments).jaxpr, Counter())
    assert found["while"] == 1
    assert not [name for name in found if "callback" in name or "infeed" in name or "outfeed" in name]
    lower(lambda s: drive.device_loop.plain(model, rows, s, settings, rows.y.shape[0], kernel), state)


@pytest.fixture
def epoch(loop):
    """What an epoch of steps from batches takes: walk, model, frame, a state on the device, rows, order, count, size."""
    model, rows, *_ = loop
    p, m = model.layout.n_coefficients, rows.y.shape[0]
    frame = Frame(jnp.zeros(p), jnp.eye(p) / 10.0, jnp.asarray(0.4), jnp.asarray(1.0))
    walk, order = Descent(optax.adam(1e-2)), jnp.concatenate([jnp.arange(m, dtype=jnp.int32), jnp.zeros(64, jnp.int32)])
    return walk, model, frame, walk.begin(p), rows, order, jnp.asarray(source_models.N, jnp.int32), 64


def test_an_epoch_is_one_loop(epoch, x64):
    walk, *arguments, size = epoch
    found = primitives(jax.make_jaxpr(lambda *a: walk_rows(walk, *a, size))(*arguments).jaxpr, Counter())
    assert found["while"] == 1
    assert not [name for name in found if "callback" in name or "infeed" in name or "outfeed" in name]
    lower(lambda state: walk_rows(walk, *arguments[:2], state, *arguments[3:], size), arguments[2])


def test_an_epoch_moves_nothing_and_uses_the_memory_of_its_state(epoch, x64):
    walk, model, frame, state, *more, size = epoch
    first, _ = walk_chunk.quick(walk, model, frame, state, *more, size)
    placed = jax.device_put((model, frame, more))
    with jax.transfer_guard("disallow"):
        second, losses = walk_chunk.quick(walk, *placed[:2], first, *placed[2], size)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((placed, second)))
    assert losses.shape == (4,) and np.isfinite(losses).all() and int(second.turns) == 8


def test_the_device_loop_moves_nothing(loop, x64):
    model, rows, state, settings, kernel = loop
    placed = jax.device_put((model, rows, state, settings))
    drive.device_loop.quick(*placed, rows.y.shape[0], kernel)
    with jax.transfer_guard("disallow"):
        ended, turns = drive.device_loop.quick(*placed, rows.y.shape[0], kernel)
    assert Status(int(ended.status)) is Status.CONVERGED and int(turns) < 15


def on_host(tree) -> int:
    """Bytes of the leaves that a call would have to move to the device."""
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree) if not isinstance(leaf, jax.Array))


@pytest.mark.parametrize(("chunk", "calls"), [(64, {"_add": 4}), (512, {"_whole": 1})])
def test_a_turn_of_the_host_loop_moves_no_rows(chunk, calls, monkeypatch, x64):
    """What a pass takes from the host is of the size of the coefficients and their products; the rows are there."""
    monkeypatch.setitem(base.CHUNK, jax.default_backend(), chunk)
    model = source_models.model("binomial")
    source = ArraySource.from_rows(source_models.rows(model.family))
    moved: dict[str, list[int]] = {}

    def counted(name, function):
        def call(*arguments, **options):
            moved.setdefault(name, []).append(on_host(arguments[1:]))
            return function(*arguments, **options)

        return call

    for name in ("_add", "_combine_there", "_finish_there"):
        monkeypatch.setattr(sums, name, counted(name, getattr(sums, name)))
    monkeypatch.setattr(sums, "_whole", SimpleNamespace(quick=counted("_whole", sums._whole.quick)))
    p = model.layout.n_coefficients
    point = Point(np.zeros(p), np.asarray(True), np.asarray(False), np.asarray(0.4))
    source.reduce(Newton(), jax.device_put(model), point)
    assert calls.items() <= {name: len(sizes) for name, sizes in moved.items()}.items()
    # The point and two counts with every chunk, and zeros to begin each thread's sum with.
    assert max(size for sizes in moved.values() for size in sizes) <= on_host(point) + 16 + 8 * (p * p + 2 * p + 8)


def test_sums_of_chunks_are_donated(monkeypatch, x64):
    """Each chunk is added in the memory of the sum before it."""
    monkeypatch.setitem(base.CHUNK, jax.default_backend(), 64)
    model = source_models.model("binomial")
    source = ArraySource.from_rows(source_models.rows(model.family))
    p = model.layout.n_coefficients
    point = jax.device_put(Point(np.zeros(p), np.asarray(True), np.asarray(False), np.asarray(0.4)))
    model, rows = jax.device_put(model), source._chunks[0]
    kernel, count = Newton(), jax.device_put(np.int32(64))
    zero = kernel.zero(jax.eval_shape(lambda: kernel.map(model, point, rows)))
    first, _ = sums._add(kernel, model, point, rows, count, 64, zero)
    with jax.transfer_guard("disallow"):
        second, mark = sums._add(kernel, model, point, rows, count, 64, first)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((second, mark, rows, point)))


def single(tree):
    """The same tree in single precision."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree)


#: Families beyond the table: two predictors, and powers whose density is an integral or that have none.
MORE = {
    "negative binomial joint": (families.NegativeBinomial(), (0.3,), (0.0, 3.0), {}),
    "negative binomial at the limit": (families.NegativeBinomial(), (0.3,), (0.0, 3.0), {}),
    "tweedie 3.5": (families.Tweedie(3.5), (0.3,), (0.5, 3.0), {}),
    "tweedie 1": (families.Tweedie(1.0), (0.3,), (0.0, 3.0), {}),
    "quasi vanishing variance": (families.Quasi(lambda mu: mu * (1 - mu), links.Logit()), (0.3,), (0.2, 0.7), {}),
}
CASES = {name: (e.family, e.eta, e.valid, e.aux) for name, e in FAMILIES.items()} | MORE


def pairs(case):
    """Family and rows of one case: all y with all eta, in float64."""
    family, eta, valid, aux = CASES[case]
    y, e = (a.ravel() for a in np.meshgrid(valid, eta))
    other = np.full((len(e), len(family.predictors) - 1), -35.0 if "limit" in case else -0.5)
    return family, y, np.column_stack([e, other]), {name: np.full(len(y), v) for name, v in aux.items()}


def of_one_row(family):
    """Everything that is asked of a family for one row, by name."""
    asked = {
        "mean": lambda f, y, e, phi, a: f.mean(e, a),
        "variance": lambda f, y, e, phi, a: f.variance(f.mean(e, a), e, a),
        "unit_deviance": lambda f, y, e, phi, a: f.unit_deviance(y, e, a),
        "logpdf": lambda f, y, e, phi, a: f.logpdf(y, e, phi, a),
        "start": lambda f, y, e, phi, a: f.start(y, a, y + 1),
        "boundary": lambda f, y, e, phi, a: f.boundary(y, a),
        "cdf": lambda f, y, e, phi, a: (f.cdf(y, e, phi, a), f.sf(y, e, phi, a), f.below(y, a)),
        "sample": lambda f, y, e, phi, a: f.sample(jax.random.key(0), e, phi, a),
    }
    return {name: function for name, function in asked.items() if family.has(name)}


def wide_arrays(text: str) -> list[str]:
    """Lines of a module that hold arrays of float64; scalars are Python's numbers, folded when compiled."""
    return [line.strip()[:120] for line in text.splitlines() if re.search(r"\dxf64", line)]


@pytest.mark.parametrize("case", CASES)
def test_no_row_of_float32_is_widened(case, x64):
    """A scope of float64 is open, but the rows are float32: so is all that is made of them."""
    family, *rows = pairs(case)
    family, y, eta, aux = single((family, *rows))
    phi, no = jnp.full_like(y, 0.7), jnp.asarray(False)
    asked = of_one_row(family)

    def everything(family, y, eta, phi, aux):
        terms = {s: row_terms(family, y, eta, aux, no, s) for s in {False, family.has("scoring")}}
        return terms, {name: jax.vmap(one, (None, 0, 0, 0, 0))(family, y, eta, phi, aux) for name, one in asked.items()}

    traced = jax.jit(everything).trace(family, y, eta, phi, aux)
    outputs = jax.tree.leaves_with_path(traced.out_info)
    assert [jax.tree_util.keystr(path) for path, leaf in outputs if leaf.dtype == np.float64] == []
    assert wide_arrays(traced.lower().as_text()) == []


@pytest.mark.parametrize("case", CASES)
def test_row_terms_in_single_precision(case):
    """Thresholds that only float64 resolves would show as NaN, or as another branch."""
    family, y, eta, aux = pairs(case)
    terms = precision.Tiered(lambda f, y, e, a: row_terms(f, y, e, a, False)).quick
    narrow = jax.tree.map(np.asarray, terms(*single((family, y, eta, aux))))
    with precision.scope():
        wide = jax.tree.map(np.asarray, terms(family, jnp.asarray(y), jnp.asarray(eta), aux))
    for name, ours, true in zip(narrow._fields, narrow, wide, strict=True):
        assert ours.dtype == np.float32 and true.dtype == np.float64
        scale = np.maximum(np.abs(true), np.max(np.abs(true)) * 1e-2)
        np.testing.assert_allclose((ours - true) / scale, 0.0, atol=SINGLE, err_msg=name)


def kernels_of_a_fit(p):
    """name: (kernel, point); coefficients are float64 in every precision."""
    theta = np.linspace(-0.2, 0.3, p)
    at = Point(theta, np.asarray(True), None, np.asarray(0.4))
    return {
        "gradient": (Newton(gram="none"), at),
        "totals": (Newton(), at),
        "totals at the start": (Newton(), at._replace(start=np.asarray(True))),
        "statistics": (Statistics(), FitPoint(theta, np.asarray(0.1), np.asarray(1.0))),
        "closing": (Closing(), ClosingPoint(at, np.asarray(0.1), np.asarray(1.0))),
        "predictors": (Predictors(), theta),
        "residuals": (Residuals(), theta),
    }


@pytest.mark.parametrize("wide", [True, False])
def test_kernels_compute_rows_of_float32_in_float32(wide):
    """With a scope of float64 its numbers are sums over rows, or of the size of the coefficients; without one, none."""
    m, p = 11, 3
    with jax.enable_x64(wide):
        model = Model(families.Gamma(links.Log()), Layout((Dense(p),)))
        x, ones = np.ones((m, p), np.float32), np.ones(m, np.float32)
        rows = Rows((x,), ones, ones, ones, np.zeros((m, 1), np.float32), {})
        for name, (kernel, point) in kernels_of_a_fit(p).items():
            text = jax.jit(lambda point, rows, k=kernel: k.map(model, point, rows)).lower(point, rows).as_text()
            if not wide:
                assert "f64" not in text, name
                continue
            of_rows = [line for line in wide_arrays(text) if re.search(rf"<(1x)*{m}(x\d+)*xf64", line)]
            # A sum in float64 takes its terms in float64.
            assert [line for line in of_rows if not re.search(r"= stablehlo\.(convert|reduce)", line)] == [], name
