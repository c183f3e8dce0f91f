"""Every kind of design equals its dense twin in every operation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxglm import precision
from jaxglm.design import (
    Categorical,
    Columns,
    Combined,
    Constant,
    Dense,
    Indicator,
    Layout,
    Paired,
    Split,
    Standardized,
    Table,
    Twofold,
    product_coding,
)
from jaxglm.design import dense as dense_module

#: Sums of fifty products, in another order.
ROUNDING = 1e-12
#: The same in single precision.
SINGLE = 2e-6
M = 50

rng = np.random.default_rng(4)
NUMBERS = rng.normal(size=(M, 3))
Z = rng.normal(size=M)
F, G, H = rng.integers(0, 4, M), rng.integers(0, 3, M), rng.integers(0, 2, M)
#: Three panels of X'WX, the last of them narrow.
WIDE = rng.normal(size=(M, 2 * dense_module.PANEL["cpu"] + 5))
#: Enough columns that a CPU turns them.
NINE = rng.normal(size=(M, 9))
#: A level that no row has, so that empty segments are met.
F[F == 2] = 3
TREATMENT = np.array([-1, 0, 1, 2], np.int32)
CENTER, SCALE = np.array([0.5, -2.0, 30.0]), np.array([1.0, 0.5, 4.0])
SUM = np.vstack([np.eye(2), -np.ones(2)])


def one_hot(codes, n):
    return np.eye(n)[codes]


def indicator(columns, width):
    return Indicator(np.asarray(columns, np.int32), width=width)


def table():
    """name: (design, rows, dense twin)."""
    full, treatment, sums = indicator([0, 1, 2, 3], 4), indicator(TREATMENT, 3), Table(SUM)
    both = F + 4 * G
    f, g = one_hot(F, 4), one_hot(G, 3)
    g_treatment = indicator([-1, 0, 1], 2)
    product = np.einsum("mj,mi->mji", g[:, 1:], f[:, 1:]).reshape(M, -1)
    mixed = np.einsum("mj,mi->mji", g @ SUM, f[:, 1:]).reshape(M, -1)
    found = {
        "constant": (Constant(), (), np.ones((M, 1))),
        "dense": (Dense(3), NUMBERS, NUMBERS),
        "columns": (Columns(3), tuple(NUMBERS.T), NUMBERS),
        "paired": (Paired(3), (tuple(NUMBERS.T), tuple(Paired.products(NUMBERS.T))), NUMBERS),
        "twofold": (Twofold(3), (NUMBERS.T, NUMBERS), NUMBERS),
        "whole numbers": (Columns(2), (F, G > 0), np.column_stack([F, G > 0]).astype(float)),
        "several": (Dense(9), NINE, NINE),
        "before a constant": (
            Split((Dense(9), Constant()), (tuple(range(9)), (9,))),
            (NINE, ()),
            np.column_stack([NINE, np.ones(M)]),
        ),
        "wide": (Dense(WIDE.shape[1]), WIDE, WIDE),
        "no columns": (Dense(0), NUMBERS[:, :0], NUMBERS[:, :0]),
        "standardized": (Standardized(Dense(3), CENTER, SCALE), NUMBERS, CENTER + SCALE * NUMBERS),
        "standardized columns": (
            Standardized(Columns(3), CENTER, SCALE),
            tuple(NUMBERS.T),
            CENTER + SCALE * NUMBERS,
        ),
        "full dummies": (Categorical(full), F, f),
        "treatment": (Categorical(treatment), F, f[:, 1:]),
        "levels in another order": (Categorical(indicator([2, -1, 0, 1], 3)), F, f[:, [2, 3, 0]]),
        "sum contrasts": (Categorical(sums), G, g @ SUM),
        "slopes": (Categorical(treatment, scaled=True), (F, Z), Z[:, None] * f[:, 1:]),
        "slopes of sums": (Categorical(sums, scaled=True), (G, Z), Z[:, None] * (g @ SUM)),
        "product": (Categorical(product_coding(treatment, g_treatment)), both, product),
        "combined": (
            Categorical(Combined((treatment, sums, indicator([0, 1], 2)))),
            F + 4 * (G + 3 * H),
            np.column_stack([f[:, 1:], g @ SUM, one_hot(H, 2)]),
        ),
        "product of kinds": (Categorical(product_coding(treatment, sums)), both, mixed),
    }
    for name, numbers in (("split", "dense"), ("split with standardized", "standardized")):
        parts = [found[part] for part in ("treatment", "constant", "slopes of sums", numbers)]
        places = ((2, 0, 5), (1,), (8, 3), (4, 7, 6))
        whole = np.empty((M, 9))
        for (_, _, twin), place in zip(parts, places, strict=True):
            whole[:, place] = twin
        found[name] = (Split(tuple(p[0] for p in parts), places), tuple(p[1] for p in parts), whole)
    return found


KINDS = table()
WEIGHTS = rng.uniform(0.0, 2.0, M) * (rng.random(M) > 0.1)
SIGNED = rng.normal(size=M)
RIGHT = rng.normal(size=(M, 2))
CODES = rng.integers(0, 5, M)


def close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", KINDS)
def test_operations_equal_those_of_the_dense_twin(name):
    design, x, twin = KINDS[name]
    p = twin.shape[1]
    assert design.n_columns == p
    b = rng.normal(size=p)

    @precision.quickly
    def operate(design, x, w, codes):
        layout = Layout((design,))
        curvature, score = w[:, None, None], SIGNED[:, None]
        none = jax.tree.map(jnp.zeros_like, (layout.gradient_sums((x,), score), layout.gram_sums((x,), curvature)))
        slopes, products = layout.add_sums(*none, (x,), score, curvature)
        return {
            "gradient beside gram": layout.gradient_of(slopes),
            "gram beside gradient": layout.gram_of(products),
            "columns": design.columns(x, M),
            "dot": jnp.broadcast_to(design.dot(x, b) if p else 0.0, (M,)),
            "gradient": layout.gradient((x,), SIGNED[:, None]),
            "gram": layout.gram((x,), w[:, None, None]),
            "gram of signed weights": layout.gram((x,), jnp.asarray(SIGNED)[:, None, None]),
            "contracted matrix": [part.contract(part.tdot_sums(xi, RIGHT)) for part, xi in elements(design, x)],
            "tally": [part.contract(part.tally(xi, w, codes, 6).T).T for part, xi in elements(design, x)],
        }

    def check(rows, w):
        with precision.scope():
            made = operate(design, rows, jnp.asarray(w), jnp.asarray(CODES))
        want = {
            "columns": twin,
            "dot": twin @ b,
            "gradient": twin.T @ SIGNED,
            "gram": twin.T @ (w[:, None] * twin),
            "gradient beside gram": twin.T @ SIGNED,
            "gram beside gradient": twin.T @ (w[:, None] * twin),
            "gram of signed weights": twin.T @ (SIGNED[:, None] * twin),
        }
        for operation, value in want.items():
            close(made[operation], value)
        for (_, places), matrix, tally in zip(design.parts, made["contracted matrix"], made["tally"], strict=True):
            close(matrix, twin[:, list(places)].T @ RIGHT)
            close(tally, one_hot(CODES, 6).T @ (w[:, None] * twin[:, list(places)]))

    with precision.scope():
        rows = jax.tree.map(jnp.asarray, x)
        laid = design.laid(rows)
    check(rows, WEIGHTS)
    if jax.tree.structure(laid) != jax.tree.structure(rows):
        check(laid, WEIGHTS)
        check(laid, SIGNED)


def test_columns_that_lie_apart_are_laid_together():
    design, x, twin = KINDS["columns"]
    with precision.scope():
        close(design.laid(tuple(map(jnp.asarray, x))), twin.T)


def elements(design, x):
    """The elements of a design with their rows."""
    return [(part, xi) for (part, _), xi in zip(design.parts, design.rows_of_parts(x), strict=True)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("order", ["as listed", "turned"])
def test_cross_products_with_every_kind(name, order):
    """Two predictors of one design each: the block beside the diagonal is X' diag(w) Xo."""
    design, x, twin = KINDS[name]
    place = list(KINDS).index(name)
    # Every pair of kinds, a kind with itself too, by every other design; the same pairs in the other order by the rest.
    chosen = [
        key for k, key in enumerate(KINDS) if ((k - place) % len(KINDS) <= len(KINDS) // 2) == (order == "as listed")
    ]
    others = {key: KINDS[key][:2] for key in chosen}

    p = twin.shape[1]

    def cross(design, x, others, w):
        curvature = w[:, None, None] * jnp.ones((2, 2))
        # The block alone, so that those on the diagonal are not even compiled.
        return {key: Layout((design, kind)).gram((x, r), curvature)[:p, p:] for key, (kind, r) in others.items()}

    with precision.scope():
        rows = jax.tree.map(jnp.asarray, (x, others))
        made = precision.quickly(cross)(design, *rows, jnp.asarray(WEIGHTS))
    for key in chosen:
        close(made[key], twin.T @ (WEIGHTS[:, None] * KINDS[key][2]))


@pytest.mark.parametrize("name", KINDS)
def test_products_in_single_precision(name):
    """The dtype of the weights is the precision of the products; sums stay in working precision."""
    design, x, twin = KINDS[name]

    @precision.quickly
    def gram(design, x, w):
        layout, curvature = Layout((design,)), w[:, None, None]
        sums = layout.gram_sums((x,), curvature)
        added = layout.add_gram_sums(jax.tree.map(jnp.zeros_like, sums), (design.laid(x),), curvature)
        return layout.gram_of(sums), layout.gram_of(added)

    for weights in (WEIGHTS, SIGNED):
        whole = twin.T @ (weights[:, None] * twin)
        with precision.scope():
            both = gram(design, jax.tree.map(jnp.asarray, x), jnp.asarray(weights, jnp.float32))
        for made in both:
            assert made.dtype == jnp.float64
            np.testing.assert_allclose(made, whole, rtol=SINGLE, atol=SINGLE * np.max(np.abs(whole), initial=1.0))


def test_codings_expand_and_contract(x64):
    """T b, T' h and T' diag(h) T of every coding, for vectors and matrices."""

    @precision.quickly
    def operate(coding, b, h):
        return coding.expand(b), coding.contract(h), coding.gram(h[:, 0])

    for name, (design, _, _) in KINDS.items():
        if not isinstance(design, Categorical):
            continue
        coding = design.coding
        full = np.asarray(coding.table())
        assert full.shape == (coding.n_levels, coding.n_columns), name
        b, h = rng.normal(size=(coding.n_columns, 2)), rng.normal(size=(coding.n_levels, 2))
        for made, want in zip(operate(coding, b, h), (full @ b, full.T @ h, full.T @ (h[:, :1] * full)), strict=True):
            close(made, want)


def test_factors_under_one_code_give_the_same_sums():
    """Three of five parts go under one code; their columns stay in their places."""
    names = ("treatment", "slopes of sums", "sum contrasts", "levels in another order", "dense")
    places = ((2, 0, 5), (12, 8), (1, 3), (4, 7, 6), (9, 11, 10))
    kinds, rows = zip(*(KINDS[name][:2] for name in names), strict=True)
    split = Split(kinds, places)
    layout = Layout((split,))
    made, change = layout.combined()
    assert [type(part).__name__ for part, _ in made.designs[0].parts] == ["Categorical", "Categorical", "Dense"]
    assert Layout(made.designs).combined() is None and Layout((Constant(),)).combined() is None
    b, score, w = rng.normal(size=13), jnp.asarray(SIGNED)[:, None], jnp.asarray(WEIGHTS)[:, None, None]

    @precision.quickly
    def operate(layout, x):
        return (
            layout.eta(x, b, None, M), layout.gradient(x, score), layout.gram(x, w), layout.columns(x, M),
            layout.spread(),
        )  # fmt: skip

    with precision.scope():
        x = jax.tree.map(jnp.asarray, (rows,))
        for ours, theirs in zip(operate(made, change(x)), operate(layout, x), strict=True):
            close(ours, theirs)
        sums = layout.gram_sums(x, w), made.gram_sums(change(x), w)
        close(made.gram_of(jax.tree.map(np.asarray, sums[1])), layout.gram_of(jax.tree.map(np.asarray, sums[0])))


@pytest.mark.parametrize("offset", [False, True])
def test_a_layout_of_two_predictors(offset):
    """eta, gradient, gram and columns against the block-diagonal dense matrix."""
    first, second = KINDS["split"], KINDS["slopes"]
    layout, x = Layout((first[0], second[0])), (first[1], second[1])
    p = layout.n_coefficients
    assert (layout.n_predictors, p) == (2, 12)
    dense = np.zeros((M, 2, p))
    dense[:, 0, :9], dense[:, 1, 9:] = first[2], second[2]
    theta, score = rng.normal(size=p), rng.normal(size=(M, 2))
    shift = rng.normal(size=(M, 2)) if offset else None
    root = rng.normal(size=(M, 2, 2))
    curvature = root @ root.transpose(0, 2, 1)

    @precision.quickly
    def operate(layout, x, theta, shift, score, curvature):
        none = jax.tree.map(jnp.zeros_like, (layout.gradient_sums(x, score), layout.gram_sums(x, curvature)))
        slopes, products = layout.add_sums(*none, x, score, curvature)
        return (
            layout.eta(x, theta, shift, M), layout.gradient(x, score), layout.gram(x, curvature), layout.columns(x, M),
            layout.gradient_of(slopes), layout.gram_of(products),
        )  # fmt: skip

    with precision.scope():
        made = operate(*jax.tree.map(jnp.asarray, (layout, x, theta, shift, score, curvature)))
    eta, gradient, gram, columns, slopes, products = made
    close(eta, dense @ theta + (shift if offset else 0.0))
    close(gradient, np.einsum("mkp,mk->p", dense, score))
    close(gram, np.einsum("mkp,mkl,mlq->pq", dense, curvature, dense))
    close(slopes, gradient)
    close(products, gram)
    close(columns, dense)
