"""Every figure of every reference case whose family and link exist."""

import json

import cases
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm import precision
from jaxglm.kernels import FitPoint, Statistics

#: The promise: agreement with R on well-conditioned data.
RELATIVE = 1e-8
#: Numbers near zero (residuals, coefficients far smaller than their standard errors) cannot have relative digits.
ABSOLUTE = 1e-10
#: Both codes end where rounding of the score stops them; p-values of large statistics magnify that by statistic^2.
P_RELATIVE = 1e-7
#: statsmodels stops at a change of the deviance of 1e-8, so its standard errors are good to about 1e-8.
STATSMODELS = 1e-7
#: The solver stops on its way to infinity once separation is proved, not at the limit: what stays finite has
#: settled to about the mean that is left in the separated rows.
SEPARATED = 0.02
#: A proved direction leaves the rows at rest within 1e-7 of its largest move.
AT_REST = 1e-6
#: Deviance that the separated rows may still have where the solver stops.
LEFT = 2.0

FITTED = [name for name, case in cases.CASES.items() if case["kind"] == "glm"]
SEPARATED_IDS = [name for name, case in cases.CASES.items() if case["kind"] == "separated"]
NULL = [name for name in FITTED if None in cases.CASES[name]["expect"]["coef"]]

#: Figure -> how we give it.
SCALARS = {
    "deviance": lambda r: r.deviance,
    "null_deviance": lambda r: r.null_deviance,
    "dispersion": lambda r: r.scale,
    "pearson_chi2": lambda r: r.pearson_chi2,
    "loglik": lambda r: r.llf,
    "quasi_loglik": lambda r: r.llf,
    "loglik_df": lambda r: r.fit.n_parameters,
    "aic": lambda r: r.aic,
    "bic": lambda r: r.bic,
    "df_residual": lambda r: r.df_resid,
    "df_null": lambda r: r.fit.df_null,
    "nobs": lambda r: r.nobs,
    "rank": lambda r: r.fit.active[: r.fit.model.layout.designs[0].n_columns].sum(),
    "alpha": lambda r: r.params["alpha"],
    "alpha_se": lambda r: r.bse["alpha"],
    "theta": lambda r: 1 / r.params["alpha"],
    "theta_se": lambda r: r.bse["alpha"] / r.params["alpha"] ** 2,
    "loglik_at_dispersion": lambda r: llf_at(r, r.scale),
}
COEFFICIENTS = {
    "coef": lambda r: r.params,
    "se": lambda r: r.bse,
    "statistic": lambda r: r.tvalues,
    "vcov": lambda r: r.cov_params(),
}
ROWS = {"fitted": lambda r: r.fittedvalues, "linear_predictor": lambda r: r.linear_predictor}
RESIDUALS = ("response", "pearson", "deviance", "working")


def mismatches(case: dict, res: jg.Results) -> dict[str, float]:
    """Error over tolerance of every figure that does not agree."""
    expect = case["expect"]
    rows = expect.get("rows", list(range(10)))
    errors = {}
    # alpha, where it is estimated, stands last in ours and elsewhere in R's.
    mean = slice(len(expect["coef_names"]))
    for name, get in SCALARS.items():
        if expect.get(name) is not None:
            errors[name] = cases.close(get(res), expect[name], RELATIVE, ABSOLUTE)
    for name, get in COEFFICIENTS.items():
        if expect.get(name) is not None:
            ours = np.asarray(get(res), float)
            ours = ours[mean, mean] if ours.ndim == 2 else ours[mean]
            errors[name] = cases.close(ours.ravel(), np.ravel(np.asarray(expect[name], float)), RELATIVE, ABSOLUTE)
    errors["p_values"] = cases.close(res.pvalues.iloc[mean], expect["p_values"], P_RELATIVE)
    if "joint_observed" in expect:
        joint = res.with_cov("nonrobust", information="observed")
        want = expect["joint_observed"]
        errors["joint observed"] = cases.close(joint.bse, [*want["se"], want["alpha_se"]], RELATIVE)
        theirs = json.loads((cases.HERE / "statsmodels" / "negative_binomial.json").read_text())[case["id"]]
        errors["statsmodels"] = cases.close(joint.params, [*theirs["coef"], theirs["alpha"]], RELATIVE, ABSOLUTE)
        errors["statsmodels se"] = cases.close(joint.bse, [*theirs["se"], theirs["alpha_se"]], RELATIVE)
        errors["statsmodels llf"] = cases.close(joint.llf, theirs["loglik"], RELATIVE)
    for name, get in ROWS.items():
        errors[name] = cases.close(get(res).loc[rows], expect[name], RELATIVE, ABSOLUTE)
    for kind in RESIDUALS:
        errors[f"resid {kind}"] = cases.close(res.resid(kind).loc[rows], expect["residuals"][kind], RELATIVE, ABSOLUTE)
    if "se_observed_information" in expect:
        observed = res.with_cov("nonrobust", information="observed")
        assert observed.information == "observed"
        errors["se observed"] = cases.close(observed.bse, expect["se_observed_information"], RELATIVE)
    errors |= prediction_errors(case, res)
    return {name: error for name, error in errors.items() if not error < 1}


def llf_at(res: jg.Results, phi: float) -> float:
    """Log-likelihood at another dispersion than the deviance's."""
    fit = res.fit
    with precision.scope():
        point = FitPoint(fit.coefficients, np.zeros(()), np.asarray(phi))
        return float(fit.source.reduce(Statistics(), fit.model, point).llf)


def prediction_errors(case: dict, res: jg.Results) -> dict[str, float]:
    """Predictions of the new rows on both scales."""
    want = case["expect"]["predict"]
    if not want["newdata"]:
        return {}
    new = pd.DataFrame(want["newdata"])
    errors = {}
    for scale, which in (("link", "linear"), ("response", "mean")):
        made = res.get_prediction(new, which=which).summary_frame(obs=False)
        errors[f"predict {scale}"] = cases.close(made["mean"], want[scale], RELATIVE, ABSOLUTE)
        errors[f"predict {scale} se"] = cases.close(made["mean_se"], want[f"{scale}_se"], RELATIVE, ABSOLUTE)
        again = np.asarray(res.predict(new, which=which))
        errors[f"predict() {scale}"] = cases.close(again, want[scale], RELATIVE, ABSOLUTE)
    return errors


@pytest.mark.parametrize("name", FITTED)
def test_every_figure_agrees(name):
    case = cases.CASES[name]
    if name in NULL:
        formula, options = cases.arguments(case)
        with pytest.warns(jg.AliasWarning) as caught:
            res = jg.glm(formula, cases.frame(case), **options)
        gone = [n for n, v in zip(res.params.index, case["expect"]["coef"], strict=True) if v is None]
        assert [str(w.message).split("'")[1] for w in caught] == gone
        assert list(res.params.index[res.params.isna()]) == gone
        assert list(res.bse.index[res.bse.isna()]) == gone
    else:
        res = cases.fit(case)
    assert len(res.params.drop("alpha", errors="ignore")) == len(case["expect"]["coef_names"])
    assert res.converged
    # Predictions of rows that aliased columns leave open are NaN here; R's rows all keep the dependence.
    assert mismatches(case, res) == {}


@pytest.mark.parametrize("name", SEPARATED_IDS)
def test_separation_is_reported(name):
    case = cases.CASES[name]
    expect = case["expect"]
    formula, options = cases.arguments(case)
    with pytest.warns(jg.SeparationWarning) as caught:
        res = jg.glm(formula, cases.frame(case), **options)
    assert res.status is jg.Status.SEPARATED
    assert not res.converged
    listed = str(caught[0].message).partition("Infinite estimates: ")[2].rstrip(".").split(", ")
    for column, sign, direction in zip(res.params.index, expect["diverges"], res.fit.recession, strict=True):
        if sign is None:
            assert not {f"{column} (+inf)", f"{column} (-inf)"} & set(listed)
            assert abs(direction) < AT_REST
        elif sign == "either":
            assert {f"{column} (+inf)", f"{column} (-inf)"} & set(listed)
        else:
            assert f"{column} ({sign})" in listed
            assert np.sign(direction) == (1 if sign == "+inf" else -1)
    standard_errors = np.array([np.nan if v is None else v for v in expect["se"]], float)
    finite = ~np.isnan(standard_errors)
    off = (res.params.to_numpy() - np.array(expect["coef"], float))[finite] / standard_errors[finite]
    assert np.all(np.abs(off) < SEPARATED)
    assert expect["deviance"] < res.deviance < expect["deviance"] + LEFT
    assert res.null_deviance == pytest.approx(expect["null_deviance"], rel=RELATIVE)
    assert "SEPARATED" in str(res.summary()) and "Infinite estimate" in str(res.summary())


@pytest.mark.parametrize("name", [n for n in FITTED if "statsmodels" in cases.CASES[n]["expect"]])
def test_statsmodels_agrees(name):
    case = cases.CASES[name]
    want = case["expect"]["statsmodels"]
    res = cases.fit(case)
    assert cases.close(res.params, want["params"], STATSMODELS) < 1
    assert cases.close(res.bse, want["bse"], STATSMODELS) < 1
    assert cases.close([res.llf, res.deviance], [want["llf"], want["deviance"]], RELATIVE) < 1


def test_the_list_of_cases_is_long_enough():
    """A loader that finds nothing would pass every test above."""
    assert len(FITTED) >= 74 and len(SEPARATED_IDS) >= 6 and len(NULL) >= 5
