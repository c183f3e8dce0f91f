"""Bases and contrasts against R 4.2.2 (splines, stats); the numbers are R's, printed with 15 digits."""

import numpy as np
import pytest

from jaxglm.errors import DataError, FormulaError
from jaxglm.formula import learn, learn_and_build
from jaxglm.frames import read

X = [0.1, 0.5, 1.2, 2.3, 2.9, 3.7, 4.1, 5.5, 6.2, 7.9]
NEW = [-1.0, 3.0, 9.0]
#: R's output has 15 digits.
PRINTED = 2e-14

NS3 = [
    [0, 0, 0],
    [-0.0583594835154264, 0.146669398370941, -0.087377513923114],
    [-0.133724857682349, 0.378760342957823, -0.225644459634447],
    [-0.0823976947821932, 0.587564068199406, -0.350038168289008],
    [0.0729560404457299, 0.580914024492161, -0.343796804864631],
    [0.32886399134234, 0.490183046157657, -0.263064131517091],
    [0.430462226287273, 0.43883539126817, -0.199883698141524],
    [0.473688430916532, 0.346006424109765, 0.0970200090569883],
    [0.350219732487261, 0.341796740197287, 0.278384288834635],
    [-0.158616577221228, 0.392367322599881, 0.766249254621348],
]
NS3_NEW = [
    [0.164566861112767, -0.407086445910529, 0.242519584797762],
    [0.104576517241956, 0.57303867822154, -0.337764768113068],
    [-0.52757901013715, 0.436642814549791, 1.09093619558736],
]
NS_KNOTS = [
    [-0.322084909670805, -0.253156937767167, 0.675085167379111, -0.421928229611945],
    [-0.0633086459045796, -0.209471790581216, 0.560139429166008, -0.350087143228755],
    [0.341153163777627, -0.119024545244065, 0.374731661987842, -0.234207288742401],
    [0.627860309028237, 0.12339071269047, 0.197017851814061, -0.122798657383788],
    [0.552907566342321, 0.306623883382029, 0.178519283117479, -0.102462051948424],
    [0.335330314472652, 0.50979223024958, 0.207082535639923, -0.0680140847749521],
    [0.228867252829296, 0.558531493432344, 0.230983991369957, -0.0286233279395566],
    [0.031671121337442, 0.382645024585669, 0.316377973653903, 0.267888766466311],
    [0.00480462640733934, 0.156016921401695, 0.359191477569337, 0.479771993185831],
    [0, -0.511224489795918, 0.463265306122449, 1.04795918367347],
]
BS5 = [
    [0, 0, 0, 0, 0],
    [0.402870022539444, 0.0484890866709049, 0.000932400932400933, 0, 0],
    [0.5690625, 0.286546474358974, 0.0193910256410256, 0, 0],
    [0.2025, 0.642371794871795, 0.155128205128205, 0, 0],
    [0.06, 0.62992673992674, 0.306246729461015, 0.0038265306122449, 0],
    [0.00222222222222221, 0.441794871794872, 0.507371794871795, 0.0486111111111111, 0],
    [0, 0.330586080586081, 0.566097592883307, 0.103316326530612, 0],
    [0, 0.0832851359167149, 0.441786942776258, 0.424920631614652, 0.050007289692375],
    [0, 0.0295992384808174, 0.275841731189599, 0.525784427617818, 0.168774602711766],
    [0, 0, 0, 0, 1],
]
BS5_NEW = [
    [-2.8940625, 0.538453525641026, -0.0193910256410256, 0, 0],
    [0.0462152777777778, 0.613934294871795, 0.333774038461539, 0.00607638888888889, 0],
    [0, -0.0080188451898978, 0.206230392620504, -1.34227409299118, 2.14406254556058],
]
POLY3 = [
    [-0.436074439064354, 0.431940608206296, -0.387785299394034],
    [-0.383849955344072, 0.275523174246915, -0.06803497394165],
    [-0.292457108833579, 0.0447030067358228, 0.274898121395103],
    [-0.148839778602804, -0.207673520135774, 0.378398085033068],
    [-0.0705030530223806, -0.288491172771995, 0.278925582993088],
    [0.0339459144181833, -0.33383300016406, 0.0532794984321651],
    [0.0861703981384651, -0.329754609807423, -0.0752779383340861],
    [0.268956091159452, -0.175046397282677, -0.424851430267194],
    [0.360348937669945, -0.0157725473590031, -0.438449857153196],
    [0.582302993481144, 0.598404458331897, 0.408898211236736],
]
POLY3_NEW = [
    [-0.579691769295129, 0.954039284275646, -1.83268378583315],
    [-0.0574469320923101, -0.298059841370351, 0.255164864125003],
    [0.725920323711919, 1.16745447674436, 1.92283937394057],
]
SCALE = [
    [-1.30822331719306],
    [-1.15154986603222],
    [-0.877371326500737],
    [-0.446519335808411],
    [-0.211509159067142],
    [0.10183774325455],
    [0.258511194415395],
    [0.806868273478356],
    [1.08104681300984],
    [1.74690898044343],
]


def dense(text, values):
    return matrix(learn_and_build(f"0 + {text}", read({"x": values}), response=False)[1])


def matrix(built):
    """The numeric columns side by side."""
    return np.column_stack(built.x[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ns(x, df=3)", NS3),
        ("ns(x, 3)", NS3),
        ("bs(x, df=5)", BS5),
        ("poly(x, 3)", POLY3),
        ("scale(x)", SCALE),
    ],
)
def test_bases_equal_r(text, expected):
    np.testing.assert_allclose(dense(text, X), expected, rtol=1e-13, atol=PRINTED)


def test_ns_with_own_knots_and_intercept_equals_r():
    # Beside an intercept the first column would be redundant; alone the basis is whole.
    found = dense("ns(x, knots=c(2, 4), lower_bound=0.2, upper_bound=7, intercept=TRUE)", X)
    # ``0 +`` has no constant, so the spline is left to span it.
    np.testing.assert_allclose(found, NS_KNOTS, rtol=1e-13, atol=PRINTED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ns(x, df=3)", NS3_NEW), ("bs(x, df=5, extrapolation='extend')", BS5_NEW), ("poly(x, 3)", POLY3_NEW)],
)
def test_bases_on_new_data_equal_r_predict(text, expected):
    spec = learn(f"0 + {text}", read({"x": X}), response=False)
    np.testing.assert_allclose(matrix(spec.build(read({"x": NEW}))), expected, rtol=1e-12, atol=1e-12)


def test_missing_values_do_not_change_what_is_learned():
    for text in ("ns(x, df=3)", "bs(x, df=5)", "poly(x, 3)", "scale(x)", "cr(x, df=4)", "cut(x, 3)"):
        plain = learn(f"0 + {text}", read({"x": X}), response=False)
        holed = learn(f"0 + {text}", read({"x": [np.nan, *X]}), response=False)
        assert plain.factors[0].state == holed.factors[0].state, text
        built = holed.build(read({"x": [np.nan, *X]}))
        assert built.n_dropped == 1 and built.dropped_by == {"x": 1}


def test_cut_has_the_intervals_and_labels_of_r():
    cut = learn_and_build("0 + cut(x, 3)", read({"x": X}), response=False)
    assert cut[0].factors[0].levels == ("(0.0922,2.7]", "(2.7,5.3]", "(5.3,7.91]")
    assert cut[1].x[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    wide = learn("cut(x, 4)", read({"x": [1, 1000.5, 31000, 62000, 123456]}), response=False)
    assert wide.factors[0].levels[0] == "(-122,3.09e+04]"
    left = learn("0 + cut(x, c(0, 1, 5, 10), right=FALSE)", read({"x": X}), response=False)
    assert left.factors[0].levels == ("[0,1)", "[1,5)", "[5,10)")


def test_cut_outside_its_breaks_is_missing():
    built = learn_and_build("cut(x, [0, 1, 5])", read({"x": X}), response=False)[1]
    assert built.n_dropped == 3 and built.dropped_by == {"cut(x, [0, 1, 5])": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "C(f, Poly)",
            [
                [-0.670820393249937, 0.5, -0.223606797749979],
                [-0.223606797749979, -0.5, 0.670820393249937],
                [0.223606797749979, -0.5, -0.670820393249937],
                [0.670820393249937, 0.5, 0.223606797749979],
            ],
        ),
        ("C(f, Helmert)", [[-1, -1, -1], [1, -1, -1], [0, 2, -1], [0, 0, 3]]),
        ("C(f, contr.sum)", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]]),
    ],
)
def test_contrast_tables_equal_r(text, expected):
    spec = learn(text, read({"f": list("abcd")}), response=False)
    np.testing.assert_allclose(spec.design.kinds[1].coding.values, expected, atol=1e-14)


def test_power_binds_as_in_r():
    x = np.array(X)
    # Python alone would read x^2 + 1 as x ^ (2 + 1).
    np.testing.assert_allclose(dense("I(x^2 + 1)", X)[:, 0], x**2 + 1)
    np.testing.assert_allclose(dense("I(-x^2)", X)[:, 0], -(x**2))
    np.testing.assert_allclose(dense("I(10 %/% 3 + x %% 2)", X)[:, 0], 3 + x % 2)
    whole = learn_and_build("0 + I(k^2)", read({"k": [1, 2, 4]}), response=False)[1]
    assert whole.x[0][0].tolist() == [1, 4, 16]


def test_logic_with_missing_values_is_kleene():
    spec, built = learn_and_build(
        "0 + ifelse((x > 0) & (z > 0), 1, 2)",
        read({"x": [1.0, -1.0, np.nan, np.nan], "z": [1.0, np.nan, 1.0, -1.0]}),
        response=False,
    )
    assert built.keep.tolist() == [True, True, False, True]
    assert built.x[0][0].tolist() == [1, 2, 2]


def test_truth_values_are_a_factor():
    spec, built = learn_and_build("0 + b + b:x", read({"b": [True, False, True], "x": [1.0, 2.0, 3.0]}), response=False)
    assert spec.names == ("b[False]", "b[True]", "b[False]:x", "b[True]:x")
    assert learn("b", read({"b": [True, False]}), response=False).names == ("Intercept", "b[T.True]")
    assert learn("I(x > 1)", read({"x": [1.0, 2.0]}), response=False).names == ("Intercept", "I(x > 1)[T.True]")


def test_splines_refuse_what_they_cannot_learn():
    with pytest.raises(DataError, match="different values"):
        learn("poly(x, 3)", read({"x": [1.0, 2.0, 2.0]}), response=False)
    with pytest.raises(DataError, match="nothing to learn"):
        learn("scale(x)", read({"x": [np.nan, np.nan]}), response=False)
    with pytest.raises(DataError, match="all values are the same"):
        learn("scale(x)", read({"x": [2.0, 2.0]}), response=False)
    with pytest.raises(FormulaError, match="df"):
        learn("bs(x, df=2)", read({"x": X}), response=False)
    with pytest.raises(DataError, match="row 1 is inf"):
        learn("poly(x, 2)", read({"x": [1.0, np.inf, 3.0]}), response=False)
