"""What users get wrong: every error says what came, where, and what to do."""

import jax
import numpy as np
import optax
import pandas as pd
import pytest
import scipy.sparse
from bad_inputs import BASE, X, count, fitted, series, y01

import jaxglm as jg

InputError, InputTypeError, DataError, FormulaError = jg.InputError, jg.InputTypeError, jg.DataError, jg.FormulaError


def glm(formula="count ~ x", change=None, family="poisson", **options):
    """Fit the base frame with some columns changed."""
    data = {**BASE, **(change or {})}
    return lambda: jg.glm(formula, pd.DataFrame(data), family=family, **options)


def fit(matrix=X, y=count, family="poisson", **options):
    return lambda: jg.fit(matrix, y, family=family, **options)


def at(values, position, value):
    """A copy with one value changed."""
    changed = np.array(values, float)
    changed[position] = value
    return changed


EMPTY = pd.DataFrame({name: values[:0] for name, values in BASE.items()})
MISSING = {"x": np.full(40, np.nan)}

#: name: (call, exception, pieces that the message must hold)
CASES = {
    # -- data ------------------------------------------------------------------------------------------------------
    "empty frame": (lambda: jg.glm("count ~ x", EMPTY, family="poisson"), DataError, "no rows"),
    "empty arrays": (fit(np.zeros((0, 2)), np.zeros(0)), DataError, "no rows", "empty"),
    "every row missing": (glm(change=MISSING), DataError, "missing", "x"),
    "every row missing in X": (fit(np.full((40, 2), np.nan)), DataError, "no rows", "x1"),
    "no row with weight": (glm(freq_weights=np.zeros(40)), DataError, "no rows"),
    "missing=raise": (glm(change={"x": at(BASE["x"], 3, np.nan)}, missing="raise"), DataError, "x", "row 3", "drop"),
    "missing=raise arrays": (fit(at(X, (4, 1), np.nan), missing="raise"), DataError, "x2", "row 4", "drop"),
    "infinite x": (glm(change={"x": at(BASE["x"], 7, np.inf)}), DataError, "'x'", "inf", "row 7", "drop"),
    "infinite X": (fit(at(X, (7, 1), -np.inf)), DataError, "'x2'", "row 7", "finite"),
    "infinite y": (glm(change={"count": at(count, 5, np.inf)}), DataError, "inf", "row 5"),
    "infinite gaussian y": (fit(y=at(count, 5, -np.inf), family="gaussian"), DataError, "-inf", "row 5"),
    "log of zero": (glm("count ~ log(z)", {"z": at(BASE["expo"], 2, 0.0)}), DataError, r"log\(z\)", "row 2"),
    "frame is a list": (lambda: jg.glm("count ~ x", [1, 2, 3]), InputTypeError, "data", "list", "DataFrame"),
    "frame is an array": (lambda: jg.glm("count ~ x", X), InputTypeError, "named columns", r"fit\(X, y"),
    "columns of different lengths": (
        lambda: jg.glm("y ~ x", {"y": [1, 2, 3], "x": [1, 2]}), DataError, "'y': 3", "'x': 2"),
    # -- families ------------------------------------------------------------------------------------------------
    "tweedie by name": (glm(family="tweedie"), InputError, r"jg.Tweedie\(power"),
    "quasi by name": (glm(family="quasi"), InputError, r"jg.Quasi\(variance"),
    "quasi class": (glm(family=jg.Quasi), InputError, r"jg.Quasi\(variance"),
    "power by name": (glm(family="gamma", link="power"), InputError, r"jg.links.Power\("),
    "zeros for tweedie 2": (glm(family=jg.Tweedie(2.5)), DataError, "power 2.5 is at least 2", "poisson"),
    "formula for no predictor": (
        glm({"mean": "count ~ x", "dispersion": "~ f"}), InputError, "'dispersion'", "'mean'"),
    "no formula for the mean": (
        glm({"dispersion": "~ f"}, family="negative_binomial"), InputError, "'mean' is missing"),
    "two responses": (
        glm({"mean": "count ~ x", "dispersion": "count ~ f"}, family="negative_binomial"), FormulaError, "only the"),
    "formula list": (glm({"mean": 3}, family="negative_binomial"), InputTypeError, "must be a string"),
    "aux without a reader": (glm(aux={"event": "f"}), InputError, "'event'"),
    "aux is a list": (glm(aux=["event"]), InputTypeError, "aux must be a dict"),
    "quasi has no draws": (lambda: jg.fit(X, count, "quasipoisson").simulate(1), jg.NotAvailableError, "quasipoisson"),
    # -- formula ---------------------------------------------------------------------------------------------------
    "unknown column": (glm("count ~ expoo"), FormulaError, "'expoo'", "Did you mean 'expo'"),
    "unknown response": (glm("counts ~ x"), FormulaError, "'counts'", "Did you mean 'count'"),
    "no tilde": (glm("count + x"), FormulaError, "~"),
    "formula is a number": (lambda: jg.glm(3, pd.DataFrame(BASE)), (InputTypeError, FormulaError), "formula", "3|int"),
    "unknown function": (glm("count ~ lgo(expo)"), FormulaError, "lgo", "log"),
    "code in a formula": (glm("count ~ __import__('os')"), FormulaError, "__import__"),
    # -- family and link -------------------------------------------------------------------------------------------
    "unknown family": (glm(family="poison"), InputError, "'poison'", "Did you mean 'poisson'"),
    "family of a wrong type": (glm(family=3), InputTypeError, "family", "'poisson'", "int"),
    "unknown link": (glm(link="loggit"), InputError, "'loggit'", "Did you mean.*'logit'"),
    "link of a wrong type": (fit(link=3), InputTypeError, "link", "'log'", "int"),
    "logit for counts": (glm(link="logit"), InputError, "logit", "poisson", "'log'"),
    "probit for gamma": (fit(family="gamma", y=BASE["expo"], link="probit"), InputError, "probit", "gamma", "'log'"),
    # -- options ---------------------------------------------------------------------------------------------------
    "weights": (glm(weights=np.ones(40)), InputTypeError, "freq_weights=", "var_weights=", "prob_weights="),
    "weights in fit": (fit(weights=np.ones(40)), InputTypeError, "freq_weights=", "var_weights=", "prob_weights="),
    "unknown option": (glm(ofset="x"), InputTypeError, "'ofset'", "Did you mean 'offset'"),
    "unknown option in fit": (fit(tolerance=1e-3), InputTypeError, "'tolerance'"),
    "unknown solver": (glm(solver="newtn"), InputError, "solver", "'newtn'", "'newton'"),
    "L-BFGS with a typing error": (fit(solver="lbgfs"), InputError, "solver", "Did you mean 'lbfgs'"),
    "a solver of no kind": (fit(solver=3), InputError, "solver", "jg.Stochastic", "optax", "3"),
    "an optimizer's maker": (fit(solver=optax.adam), InputError, "solver", "optax"),
    "an optimizer with a line search": (fit(solver=optax.lbfgs()), InputError, "gradients", "solver='lbfgs'"),
    "no optimizer": (lambda: jg.Stochastic("adam"), InputTypeError, "optimizer", "optax.adam", "'adam'"),
    "no epoch": (lambda: jg.Stochastic(epochs=0), InputError, "epochs", "at least 1", "0"),
    "half a batch": (lambda: jg.Stochastic(batch_rows=0.5), InputError, "batch_rows", "whole number", "0.5"),
    "negative seed": (lambda: jg.Stochastic(seed=-1), InputError, "seed", "-1"),
    "unknown information": (fit(information="fisher"), InputError, "information", "'fisher'", "'expected'"),
    "tol zero": (glm(tol=0), InputError, "tol", "between 0 and 1", "0"),
    "tol text": (fit(tol="1e-8"), InputError, "tol", "'1e-8'"),
    "max_iter zero": (fit(max_iter=0), InputError, "max_iter", "at least 1"),
    "max_iter fraction": (glm(max_iter=2.5), InputError, "max_iter", "whole number", "2.5"),
    "use_t text": (fit(use_t="yes"), InputTypeError, "use_t", "'yes'"),
    "start too short": (glm(start=[0.0]), InputError, "start", "2 finite numbers", r"\(1,\)"),
    "start not finite": (fit(start=[0.0, np.nan, 0.0]), InputError, "start", "3 finite numbers"),
    "start as text": (fit(start="zeros"), InputError, "start"),
    "missing option": (glm(missing="omit"), InputError, "missing", "'omit'", "'drop'"),
    "on_separation option": (fit(on_separation="stop"), InputError, "on_separation", "'stop'", "'warn'"),
    "on_failure option": (glm(on_failure=None), InputError, "on_failure", "'warn'"),
    "devices text": (fit(devices="gpu"), InputError, "devices", "'gpu'", "'all'"),
    "devices number": (glm(devices=2), InputTypeError, "devices", "'all'"),
    "devices list of text": (fit(devices=["cpu"]), InputTypeError, "devices", "jax.devices"),
    # -- weights, offsets, trials ----------------------------------------------------------------------------------
    "negative freq_weights": (glm(freq_weights=at(np.ones(40), 6, -1)), DataError, "freq_weights", "-1", "row 6"),
    "negative var_weights": (fit(var_weights=at(np.ones(40), 6, -2)), DataError, "var_weights", "-2", "row 6"),
    "negative prob_weights": (fit(prob_weights=at(np.ones(40), 6, -2)), DataError, "prob_weights", "-2", "row 6"),
    "infinite weights": (fit(var_weights=at(np.ones(40), 9, np.inf)), DataError, "var_weights", "finite", "row 9"),
    "short weights": (glm(var_weights=np.ones(39)), DataError, "var_weights", "39", "40"),
    "long offset": (fit(offset=np.ones(41)), DataError, "offset", "41", "40"),
    "offset of two columns": (fit(offset=np.ones((40, 2))), InputTypeError, "offset", r"\(40, 2\)"),
    "text offset": (glm(offset="label"), DataError, "offset", "'label'", "numbers"),
    "unknown offset": (glm(offset="expoo"), FormulaError, "offset", "'expoo'", "Did you mean 'expo'"),
    "expression as offset": (glm(offset="log(expo)"), FormulaError, "offset", "Expressions are not read"),
    "offset named in fit": (fit(offset="expo"), InputTypeError, "offset='expo'", r"glm\(\)"),
    "weights of another index": (
        glm(var_weights=series(np.ones(40), 100)), DataError, "var_weights", "index", "to_numpy"),
    "prob with freq weights": (fit(prob_weights=np.ones(40), freq_weights=np.ones(40)), InputError, "prob_weights"),
    "exposure with logit": (
        fit(y=y01, family="binomial", exposure=np.ones(40)), InputError, "exposure", "log link", "logit", "offset="),
    "exposure zero": (glm(exposure=at(np.ones(40), 1, 0)), DataError, "exposure", "positive", "row 1"),
    "exposure negative": (fit(exposure=at(np.ones(40), 1, -3)), DataError, "exposure", "-3", "row 1"),
    "trials with counts": (glm(trials=np.ones(40)), InputError, "trials", "binomial", "exposure"),
    "trials zero": (
        glm("share ~ x", family="binomial", trials=at(np.full(40, 4), 2, 0)), DataError, "trials", "positive", "row 2"),
    "counts beside trials": (glm(family="binomial", trials="size"), DataError, "proportion", "row", "cbind"),
    "cbind and trials": (
        glm("cbind(win, size) ~ x", family="binomial", trials="size"), InputError, "cbind", "trials"),
    "cbind negative": (
        glm("cbind(win, lost) ~ x", {"lost": at(BASE["win"], 4, -2)}, "binomial"), DataError, "cbind", "-2", "row 4"),
    "cbind for counts": (glm("cbind(win, size) ~ x"), InputError, "cbind", "binomial", "poisson"),
    # -- response --------------------------------------------------------------------------------------------------
    "negative counts": (glm(change={"count": at(count, 8, -1)}), DataError, "poisson", "-1", "row 8"),
    "negative counts in fit": (fit(y=at(count, 8, -1)), DataError, "poisson", "-1", "row 8", "gaussian"),
    "zero for gamma": (fit(y=at(BASE["expo"], 3, 0), family="gamma"), DataError, "gamma", "> 0", "row 3", "tweedie"),
    "zero for inverse gaussian": (
        glm("z ~ x", {"z": at(BASE["expo"], 3, 0)}, "inverse_gaussian"), DataError, "> 0", "row 3"),
    "two for binomial": (fit(y=at(y01, 9, 2), family="binomial"), DataError, "binomial", "2", "row 9", "0/1"),
    "negative for binomial": (glm("z ~ x", {"z": at(y01, 9, -1)}, "binomial"), DataError, "binomial", "-1", "row 9"),
    "three labels": (glm("three ~ x", family="binomial"), DataError, "three", "3 labels", "'a'", "I\\("),
    "one label": (glm("same ~ x", family="binomial"), DataError, "same", "single label", "'s'"),
    "text for gaussian": (glm("label ~ x", family="gaussian"), DataError, "label", "gaussian", "binomial"),
    "text for poisson in fit": (fit(y=BASE["label"]), DataError, "poisson", "text", "'binomial'"),
    "dates as response": (glm("day ~ x", family="gaussian"), (DataError, FormulaError), "day", "date", "number"),
    "y of two columns": (fit(y=np.ones((40, 2))), InputError, r"\(40, 2\)", "cbind"),
    "y too short": (fit(y=count[:39]), DataError, "40", "39"),
    "y of another index": (
        fit(pd.DataFrame(X, columns=["a", "b"]), series(count, 100)), DataError, "index", "align"),
    "gamma mean of all zero y": (fit(y=np.zeros(40), family="gamma"), DataError, "gamma", "> 0"),
    # -- X ---------------------------------------------------------------------------------------------------------
    "sparse X": (fit(scipy.sparse.csr_matrix(X)), InputTypeError, "sparse", "40 x 2", "GB", r"glm\(\)"),
    "sparse array X": (fit(scipy.sparse.coo_array(X)), InputTypeError, "sparse", "40 x 2"),
    "three axes": (fit(np.ones((40, 2, 2))), InputError, r"\(40, 2, 2\)"),
    "dates in X": (fit(np.array(BASE["day"])[:, None]), DataError, "dates", "numbers"),
    "dates in a frame X": (fit(pd.DataFrame({"day": BASE["day"]})), DataError, "day"),
    "text in X": (fit(np.array([["a"]] * 40)), DataError, "numbers", r"glm\(\)"),
    "text in a frame X": (fit(pd.DataFrame({"label": BASE["label"]})), DataError, "'label'", r"glm\(\)"),
    "complex X": (fit(X + 1j), DataError, "numbers", "complex"),
    "too few names": (fit(names=["a"]), InputError, "names", "1", "2"),
    "repeated names": (fit(names=["a", "a"]), InputError, "names", "'a'"),
    "X of zeros alone": (fit(np.zeros((40, 2)), intercept=False), jg.FitError, "zero"),
    # -- what fails while solving ----------------------------------------------------------------------------------
    "separated": (fit(X[:, :1], (X[:, 0] > 0) * 1.0, "binomial", on_separation="raise"),
                  jg.SeparationError, "infinite", "x1", r"\+inf"),
    "too few steps": (fit(max_iter=1, on_failure="raise"), jg.FitError, "MAX_ITER", "max_iter"),
    "bad start": (fit(start=[1e300, 0, 0], intercept=True), jg.FitError, "start="),
}  # fmt: skip


def check(call, exception, pieces):
    """The call raises, and every piece is in the message."""
    with pytest.raises(exception) as caught:
        call()
    assert isinstance(caught.value, jg.JaxglmError)
    assert type(caught.value).__module__ == "jaxglm.errors"
    for piece in pieces:
        caught.match(piece)


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name):
    call, exception, *pieces = CASES[name]
    check(call, exception, pieces)


#: After a fit. name: (call on a fitted result, exception, pieces)
AFTER = {
    "alpha of 95": (lambda r: r.conf_int(95), InputError, "alpha", "95"),
    "alpha text": (lambda r: r.conf_int("0.05"), InputTypeError, "alpha", "'0.05'"),
    "alpha of a summary": (lambda r: r.summary(alpha=0), InputError, "alpha"),
    "kind of residual": (lambda r: r.resid("pearsn"), InputError, "'pearsn'", "Did you mean 'pearson'"),
    "which": (lambda r: r.predict(which="response"), InputError, "which", "'response'", "'mean'"),
    "unseen": (lambda r: r.predict(r.augment(), unseen="skip"), InputError, "unseen", "'skip'", "'nan'"),
    "unseen level": (lambda r: r.predict(pd.DataFrame({"x": [1.0], "f": ["q"]})), jg.UnseenLevelError, "q", "f"),
    "predict without a column": (lambda r: r.predict(pd.DataFrame({"x": [1.0]})), FormulaError, "'f'"),
    "predict with text": (lambda r: r.predict(pd.DataFrame({"x": ["u"], "f": ["a"]})), DataError, "x"),
    "predict with an offset of a wrong length": (
        lambda r: r.predict(pd.DataFrame({"x": [1.0], "f": ["a"]}), offset=[1, 2]), DataError, "offset", "2", "1"),
    "offset without newdata": (lambda r: r.predict(offset=1.0), InputError, "offset", "newdata"),
    "covariance": (lambda r: r.with_cov("HC9"), InputError, "'HC9'", "nonrobust"),
    "survey without weights": (lambda r: r.with_cov("survey"), InputError, "survey", "prob_weights"),
    "information": (lambda r: r.with_cov(information="fisher"), InputError, "'fisher'", "'observed'"),
    "pseudo R2": (lambda r: r.pseudo_rsquared("mcfadden"), InputError, "'mcfadden'", "deviance"),
    "plot of an unknown variable": (lambda r: r.plot.effect("xx"), InputError, "'xx'", "'x'"),
    "plot held at an unknown variable": (lambda r: r.plot.effect("x", at={"g": 1}), InputError, "'g'"),
    "plot held at itself": (lambda r: r.plot.effect("x", at={"x": 1}), InputError, "'x'"),
    "augment with an array": (lambda r: r.augment(np.ones(40)), InputTypeError, "ndarray", "frame"),
    "augment with another frame": (
        lambda r: r.augment(pd.DataFrame({"x": [1.0]}, index=[77])), InputError, "frame that was fitted"),
    "no ratio": (lambda r: fitted("identity").tidy(exponentiate=True), InputError, "identity", "log"),
    "no ratio in a summary": (lambda r: fitted("identity").summary(exponentiate=True), InputError, "identity", "logit"),
    "rows not kept: resid": (lambda r: fitted("bare").resid(), jg.NotAvailableError, "resid", "keep_data=True"),
    "rows not kept: fitted": (lambda r: fitted("bare").fittedvalues, jg.NotAvailableError, "keep_data=True"),
    "rows not kept: plot": (lambda r: fitted("bare").plot.effect("x"), jg.NotAvailableError, "keep_data"),
    "rows not kept: information": (
        lambda r: fitted("bare probit").with_cov(information="observed"), jg.NotAvailableError, "keep_data=True"),
    "offset values not given again": (
        lambda r: fitted("offset").predict(pd.DataFrame({"x": [1.0]})), InputError, "offset=", "values", "again"),
    "exposure not given again": (
        lambda r: fitted("exposure").predict(X[:3]), InputError, "exposure=", "again"),
    "X of another width": (lambda r: fitted("exposure").predict(np.ones((3, 5)), exposure=1.0), DataError, "2", "5"),
    "survey only": (lambda r: fitted("survey").with_cov("nonrobust"), InputError, "prob_weights", "survey"),
}  # fmt: skip


@pytest.mark.parametrize("name", AFTER)
def test_bad_input_after_a_fit(name):
    call, exception, *pieces = AFTER[name]
    check(lambda: call(fitted("factor")), exception, pieces)


def test_the_table_is_long():
    assert len(CASES) + len(AFTER) >= 100
    assert len(jax.devices()) == 4
