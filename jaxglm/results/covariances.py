"""Results under another covariance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jaxglm import resolve
from jaxglm.inference.covariance import change_information, covariance, read_beside

if TYPE_CHECKING:
    from jaxglm.results.results import Results


def with_cov(res: Results, cov: Any, information: str | None) -> Results:
    """See :meth:`jaxglm.results.results.Results.with_cov`."""
    estimator = resolve.covariance(res.covariance.estimator if cov is None else cov, res.labels.weights)
    beside = read_beside(estimator, res.fit.source, res.intake.codes)
    fit = res.fit if information is None else change_information(res.fit, information)
    return replace(res, fit=fit, covariance=covariance(fit, estimator, beside))
