"""Exceptions, warnings, and the Status that travels through compiled code."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable


class JaxglmError(Exception):
    """Base of every error that jaxglm raises on purpose."""


class InputError(JaxglmError, ValueError):
    """A value the user gave cannot be used; the message says which and what to do."""


class InputTypeError(JaxglmError, TypeError):
    """An argument has the wrong type."""


class FormulaError(InputError):
    """The formula cannot be read or evaluated."""


class DataError(InputError):
    """The data does not suit the model: missing, not finite, outside the family's support."""


class UnseenLevelError(DataError):
    """New data has a factor level that the fit never saw."""


class NotAvailableError(JaxglmError, ValueError):
    """The fitted model does not carry what this needs (data not kept, no density, ...)."""


class StorageError(JaxglmError, ValueError):
    """A file is no saved result, is damaged, or was written by a newer version."""


class MissingExtraError(JaxglmError, ImportError):
    """An optional library is not installed; the message gives the pip line."""


class FitError(JaxglmError, RuntimeError):
    """The fit has no usable result."""


class SeparationError(FitError):
    """The maximum likelihood estimate is infinite (``on_separation="raise"``)."""


class HostError(JaxglmError, RuntimeError):
    """One of several processes that fit a model together failed, ended, or did something else than the others."""


class JaxglmWarning(UserWarning):
    """Base of every warning that jaxglm gives."""


class AliasWarning(JaxglmWarning):
    """Columns that depend on earlier ones were dropped."""


class SeparationWarning(JaxglmWarning):
    """Some coefficients are infinite: the outcome is separated."""


class ConvergenceWarning(JaxglmWarning):
    """The solver stopped before it reached the asked tolerance."""


class DataWarning(JaxglmWarning):
    """Something in the data was changed or looks like a mistake."""


class Status(enum.IntEnum):
    """How a fit ended; ``status.sentence`` says it in words, with a remedy."""

    RUNNING = 0
    CONVERGED = 1
    CONVERGED_TO_PRECISION = 2
    SEPARATED = 3
    MAX_ITER = 4
    BOUNDARY = 5
    STEP_FAILED = 6
    NOT_FINITE = 7
    ILL_CONDITIONED = 8
    SUSPECT = 9
    NO_OVERDISPERSION = 10
    NOT_FITTED = 11
    UNUSABLE = 12

    @property
    def converged(self) -> bool:
        """Whether the estimates are a maximum of the likelihood to working precision."""
        return self in (Status.CONVERGED, Status.CONVERGED_TO_PRECISION, Status.NO_OVERDISPERSION)

    @property
    def sentence(self) -> str:
        """One sentence with a remedy."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.RUNNING: "The fit has not ended.",
    Status.CONVERGED: "Converged: the estimated remaining error is below tol.",
    Status.CONVERGED_TO_PRECISION: (
        "Converged as far as rounding allows, short of tol; rescaling columns that are nearly collinear "
        "or of very different size, or precision='float64' if it was another, may give more digits."
    ),
    Status.SEPARATED: (
        "Some coefficients are infinite because a combination of columns separates the outcome; drop or merge "
        "those columns or levels, or collect data that overlaps."
    ),
    Status.MAX_ITER: "Stopped at max_iter before the tolerance was reached; raise max_iter or give start=.",
    Status.BOUNDARY: (
        "The likelihood still rises at the edge of the valid means, so the estimate lies on the boundary and Wald "
        "standard errors do not hold; use a link that keeps the mean in range (log, logit)."
    ),
    Status.STEP_FAILED: "No step lowered the negative log-likelihood; check the scale of the columns or give start=.",
    Status.NOT_FINITE: (
        "The likelihood is not finite at any start that was tried; give start=, another link, or map the predictors of "
        "a likelihood of your own (exp for a scale)."
    ),
    Status.ILL_CONDITIONED: "The normal equations are too ill-conditioned; the solver changes to QR.",
    Status.NO_OVERDISPERSION: (
        "The counts vary no more than Poisson counts do, so the estimate of alpha is 0, the end of its range (without "
        "a standard error), and the other estimates are those of Poisson; use family='poisson', or 'quasipoisson' if "
        "the counts vary less."
    ),
    Status.NOT_FITTED: "Not fitted: the run was interrupted before it came to this group; run it again for the others.",
    Status.UNUSABLE: "These rows cannot be fitted by the model; the message says why.",
    Status.SUSPECT: "Steps shrink too slowly; the solver checks for separation.",
}


def near(name: str, known: Iterable[str]) -> str:
    """A hint of the form " Did you mean 'x'?", or the list of what is known."""
    known = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    if close:
        return " Did you mean " + " or ".join(repr(c) for c in close) + "?"
    shown = ", ".join(repr(k) for k in known[:20]) + (", ..." if len(known) > 20 else ".")
    return f" Known: {shown}" if known else ""


def row_count(n: int) -> str:
    """ "1 row" or "1,234 rows"."""
    return f"{n:,} row" + ("" if n == 1 else "s")


#: Why the rows of a fit are not at hand, and what to do.
NO_ROWS = "the fitted rows, which were not kept (files of save() never hold them); refit with keep_data=True"


def no_rows(what: str) -> NotAvailableError:
    """The error that `what` cannot be had without the fitted rows."""
    return NotAvailableError(f"{what} needs {NO_ROWS}")
