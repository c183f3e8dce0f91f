"""What is asked of a fit once it is made; one line each, the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Covariance
from jaxglm.lazy import parts
from jaxglm.results.labels import Labels

if TYPE_CHECKING:
    from jaxglm.inference.hypotheses import HypothesisTest
    from jaxglm.results import bootstrap, delta, diagnosis, influence, margins, storage, tests
    from jaxglm.results.bootstrap import Bootstrap
    from jaxglm.results.diagnosis import Diagnosis
    from jaxglm.results.effects import Effects
    from jaxglm.results.influence import Influence
    from jaxglm.results.results import Results
else:
    bootstrap, delta, diagnosis, influence, margins, storage, tests = parts(
        "jaxglm.results", "bootstrap", "delta", "diagnosis", "influence", "margins", "storage", "tests"
    )


class Answers:
    """Tests, effects, influence and checks of a :class:`~jaxglm.results.results.Results`."""

    fit: Fit
    labels: Labels
    covariance: Covariance
    intake: Any

    # -- tests -------------------------------------------------------------------------------------------------
    def wald_test(self, hypothesis: Any, test: str | None = None) -> HypothesisTest:
        """Wald test of linear hypotheses on the parameters as `params` shows them, under the covariance in use.

        `hypothesis`: text (``"x1 = x2, 2*x3 - x4 = 1"``), names of coefficients or terms that are all 0, a dict of
        values by name, a matrix (q, P), or a tuple (matrix, values). `test`: "Chisq" or "F", by default F where the
        covariance has degrees of freedom.
        """
        return tests.wald_test(self, hypothesis, test)

    def lr_test(self, other: Results) -> HypothesisTest:
        """Likelihood ratio test of the smaller of two nested fits to the same rows, whichever is given as `other`."""
        return tests.lr_test(self, other)

    def score_test(self, added: Any) -> HypothesisTest:
        """Rao's score test of columns that the model lacks, without fitting them.

        `added`: terms (``"z + C(g)"``) or a list of columns of the fitted frame, an array (n,) or (n, q), or a dict of
        these by predictor (the mean's without one). Where several processes share the rows, columns are of those here.
        """
        return tests.score_test(self, added)

    def anova(self, type: int = 1, test: str | None = None) -> pd.DataFrame:
        """Analysis of deviance by term: type 1 (in order, as R's ``anova``) or 2 (as ``car::Anova``).

        Columns `df deviance df_resid resid_deviance statistic p_value`; submodels are fitted for it, side by side, so
        that each reading of the data serves all. `test`: "Chisq", "F" or "Rao"; by default Chisq where the dispersion
        is known, else F. Where alpha or the like is estimated, each submodel has its own, and resid_deviance is minus
        twice the log-likelihood. Under a robust covariance these are Wald tests, without deviances.
        """
        return tests.anova_of(self, type, test)

    def drop1(self, test: str | None = None) -> pd.DataFrame:
        """Each term that no other contains left out, with its AIC, as R's ``drop1``; `test` as in :meth:`anova`."""
        return tests.drop1(self, test)

    # -- functions of the parameters ---------------------------------------------------------------------------
    def delta(self, function: Callable[[Any], Any], alpha: float = 0.05) -> pd.DataFrame:
        """Any JAX function of the parameters, with standard errors by the delta method, as a labelled frame.

        ``res.delta(lambda b: -b["Intercept"] / b["dose"])``; `b` gives parameters by name or position and ``b.values``
        as a vector, natural ones (alpha) on their natural scale. A number, an array or a dict of them may come back.
        """
        return delta.delta(self, function, alpha)

    # -- effects -----------------------------------------------------------------------------------------------
    def margins(
        self,
        variables: str | Sequence[str] | None = None,
        *,
        at: Mapping[str, Any] | None = None,
        by: str | Sequence[str] | None = None,
        kind: str = "dydx",
        values: Sequence[Any] | None = None,
        reference: str = "base",
        scale: str = "response",
        alpha: float = 0.05,
    ) -> Effects:
        """Average effects of columns: slopes of numbers, contrasts between levels of factors.

        See :func:`jaxglm.results.margins.margins` for every option.
        """
        return margins.margins(self, variables, at, by, kind, values, reference, scale, alpha)

    def predictions(
        self,
        *,
        at: Mapping[str, Any] | None = None,
        by: str | Sequence[str] | None = None,
        scale: str = "response",
        alpha: float = 0.05,
    ) -> Effects:
        """Average predictions, of all rows or by group, as they are or at values of some columns.

        See :func:`jaxglm.results.margins.predictions` for every option.
        """
        return margins.predictions(self, at, by, scale, alpha)

    # -- refits ------------------------------------------------------------------------------------------------
    def bootstrap(
        self, B: int = 1000, seed: int | None = None, *, cluster: Any = None, kind: str = "weights"
    ) -> Bootstrap:
        """`B` refits to rows (or whole clusters) drawn with replacement, or to responses drawn from the fit.

        See :func:`jaxglm.results.bootstrap.bootstrap` for what is drawn under each kind of weights.
        """
        return bootstrap.bootstrap(self, B, seed, cluster, kind)

    # -- influence and checks ----------------------------------------------------------------------------------
    def influence(self) -> Influence:
        """Leverage, Cook's distance and the other measures of what each row does to the fit, as R has them."""
        return influence.influence(self)

    def diagnose(self) -> Diagnosis:
        """Checks of the model in words: what was found, whether it matters, what to do; some passes over the rows.

        Where several processes share the rows, all must call it, and rows are named with their process.
        """
        return diagnosis.diagnose(self)

    # -- files -------------------------------------------------------------------------------------------------
    def save(self, path: Any) -> None:
        """Write a file (path or binary file object) that :func:`jaxglm.load` reads; it does not grow with the rows.

        It replaces an older one only once it is whole. Rows and functions of your own are not in it.
        """
        storage.save(self, path)
