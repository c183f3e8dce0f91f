"""Results of many groups in a file, and back; and as a Parquet table for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm import archive
from jaxglm.batched import Dependences
from jaxglm.codec import Decoder
from jaxglm.errors import MissingExtraError, StorageError
from jaxglm.groups import dependences
from jaxglm.kernels import Model
from jaxglm.precision import scope
from jaxglm.results import storage

if TYPE_CHECKING:
    from jaxglm.results.grouped import GroupedResults


def save(grp: GroupedResults, path: Any) -> None:
    """See :meth:`jaxglm.results.grouped.GroupedResults.save`."""
    levels = [grp.keys.get_level_values(i).tolist() for i in range(grp.keys.nlevels)]
    known = grp.dependences
    if known is None:
        with scope():
            known = dependences(grp.work, grp._aliased)
    parts = {
        "batch": grp.batch, "work": grp.work.without_rows(), "labels": grp.labels,
        "intake": storage.without_rows(grp.intake), "keys": {"names": list(grp.keys.names), "levels": levels},
        "dependences": known,
    }  # fmt: skip
    manifest, arrays = storage.packed(parts, grp.intake)
    archive.write(path, {"format": storage.GROUPED, "version": storage.FORMS[storage.GROUPED], **manifest}, arrays)


def unpacked(manifest: dict[str, Any], decode: Decoder, family: Any, link: Any, functions: dict) -> GroupedResults:
    """The results that a file of :func:`save` holds."""
    from jaxglm.results.grouped import GroupedResults

    intake = storage.intake_of(manifest, decode, family, link, functions)
    model = Model(intake.family, intake.layout)
    work = decode.object(manifest["work"], {"rows": None, "model": model})
    keys = decode(manifest["keys"])
    made = GroupedResults(
        decode(manifest["batch"]), work, keys_of(keys["levels"], keys["names"]), decode(manifest["labels"]), intake,
        decode(manifest["dependences"]),
    )  # fmt: skip
    _check(made)
    return made


def keys_of(levels: list[list[Any]], names: list[str]) -> pd.Index:
    """The keys of groups, from a list of values for each column."""
    if len(names) == 1:
        return pd.Index(levels[0], name=names[0])
    return pd.MultiIndex.from_arrays(levels, names=names)


def _check(grp: GroupedResults) -> None:
    """Whether the parts of a file belong together."""
    groups, p = len(grp.keys), len(grp.intake.names)
    batch, known = grp.batch, grp.dependences
    if grp.labels.names != grp.intake.names or grp.work.model.layout.n_coefficients != p:
        raise StorageError("its coefficients are not those of its formula")
    shapes = {name: (groups,) for name, value in vars(batch).items() if isinstance(value, np.ndarray)}
    shapes |= dict.fromkeys(("theta", "variances", "active", "held"), (groups, p))
    if any(getattr(batch, name).shape != shape for name, shape in shapes.items()):
        raise StorageError("an array has another shape than there are groups and coefficients")
    if grp.work.natural.shape != (p,) or grp.work.segments.counts.shape != (groups,):
        raise StorageError("an array has another length than there are coefficients or groups")
    if not isinstance(known, Dependences) or known.weights.shape != (len(known.group), p):
        raise StorageError("what aliased columns depend on is missing")


def to_parquet(grp: GroupedResults, path: Any, alpha: float) -> None:
    """Write one long table with a row for each group and coefficient.

    Parameters
    ----------
    path : path or binary file object
        A file that is there is replaced once the new one is whole.
    alpha : float
        Intervals have the level 1 - alpha.

    Raises
    ------
    MissingExtraError
        pyarrow is not installed.
    OSError
        The file cannot be written.

    Notes
    -----
    Columns are the keys, `term` (`predictor` before it after formulas by predictor), `estimate std_error statistic
    p_value conf_low conf_high`, and those of :meth:`~jaxglm.GroupedResults.glance`, the same in all rows of a group,
    which Parquet stores as good as once. The metadata "jaxglm" of the file is JSON with formula, family, link,
    covariance, alpha and version.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError('to_parquet() needs pyarrow: pip install "jaxglm[parquet]"') from None
    table = grp.tidy(conf_int=True, alpha=alpha)
    figures = grp.glance().drop(columns=list(grp.keys.names))
    count = len(grp.labels.names)
    whole = pd.concat([table, figures.loc[figures.index.repeat(count)].reset_index(drop=True)], axis=1)
    family = grp.work.model.family
    words = {
        "formula": grp.labels.formula, "family": family.name, "link": family.link.name, "covariance": grp.cov_type,
        "alpha": alpha, "version": sys.modules["jaxglm"].__version__,
    }  # fmt: skip
    made = pa.Table.from_pandas(whole, preserve_index=False)
    made = made.replace_schema_metadata({**made.schema.metadata, b"jaxglm": json.dumps(words).encode()})
    _write(path, lambda target: pq.write_table(made, target))


def _write(path: Any, write: Callable[[Any], None]) -> None:
    if hasattr(path, "write"):
        write(path)
        return
    with archive.replacing(archive.path_of(path, "write")) as stream:
        write(stream)
