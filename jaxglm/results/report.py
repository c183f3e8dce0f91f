"""What users are warned of when a fit ends."""

from __future__ import annotations

import warnings

from jaxglm.errors import (
    AliasWarning,
    ConvergenceWarning,
    DataWarning,
    FitError,
    SeparationError,
    SeparationWarning,
    Status,
)
from jaxglm.fitted import Fit
from jaxglm.results.labels import Labels, aliased, separated


def report(found: Fit, labels: Labels, on_separation: str, on_failure: str) -> None:
    """Warn or raise about aliasing, separation and failure; called by what users call through one function."""
    for name, words in aliased(found, labels):
        warnings.warn(f"column {name!r} is dropped: it equals {words}", AliasWarning, stacklevel=4)
    if found.status is Status.SEPARATED:
        columns = ", ".join(f"{name} ({sign})" for name, sign in separated(found, labels))
        message = f"{Status.SEPARATED.sentence} Infinite estimates: {columns}."
        if on_separation == "raise":
            raise SeparationError(message)
        warnings.warn(message, SeparationWarning, stacklevel=4)
    elif found.status is Status.NO_OVERDISPERSION:
        warnings.warn(found.status.sentence, DataWarning, stacklevel=4)
    elif not found.status.converged:
        message = f"{found.status.name}: {found.status.sentence}"
        if not found.model.family.has_expected and not found.bread.ok:
            message += " The likelihood is not curved downward here, so this is no maximum; check the sign of nll."
        if on_failure == "raise":
            raise FitError(message)
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
