"""Fits that go on where they were interrupted: which fit a checkpoint belongs to, and when it goes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from jaxglm.codec import Decoder, Encoder
from jaxglm.errors import InputTypeError
from jaxglm.families.probe import probe
from jaxglm.fitted import Options
from jaxglm.kernels import Itself, Model, Survey
from jaxglm.results.storage import TABLE
from jaxglm.sources import Journal, Recorded, Source
from jaxglm.sources.base import cut

#: Rows at the beginning of the data that are compared one by one.
_FIRST = 4096


@contextmanager
def recorded(source: Source, path: Any, model: Model, options: Options, said: dict[str, Any]) -> Iterator[Source]:
    """The source with its passes kept in a file, which is deleted once all that is done with it has succeeded.

    Where there are several processes each has a file of its own, with its number behind the path.

    Parameters
    ----------
    path : path, or None for the source as it is
    said : dict by name
        What else the fit is: names, text of the formula, kinds of weights.

    Raises
    ------
    InputError
        The file belongs to another fit.
    StorageError
        The file is damaged.
    """
    if path is None:
        yield source
        return
    try:
        os.fsdecode(path)
    except TypeError:
        raise InputTypeError(f"checkpoint must be the path of a file, not {path!r}") from None
    if jax.process_count() > 1:
        # They may share a folder.
        path = f"{os.fsdecode(path)}.{jax.process_index()}"
    version, hosts = sys.modules["jaxglm"].__version__, source.hosts
    facts = {"jaxglm": version, **_facts(source, model, options, said)}
    journal, kept = hosts.share(
        "opening its checkpoint", lambda: Journal(path, facts, version), lambda own: len(own.entries)
    )
    # Of a pass that one process has not kept, the others know nothing either.
    journal.keep(min(kept, default=len(journal.entries)))
    yield Recorded(source, journal)
    journal.remove()


def _facts(source: Source, model: Model, options: Options, said: dict[str, Any]) -> dict[str, str]:
    """What tells one fit from another, as text by name."""
    facts = {name: str(value) for name, value in said.items()}
    facts |= {"number of rows": f"{source.n_rows:,}", "solver": options.solver, "tol": repr(options.tol)}
    facts |= {"max_iter": str(options.max_iter), "information": options.information}
    facts |= {"precision": options.precision.name, "start": _digest(options.start)}
    encode = Encoder(TABLE)
    node = encode(model.family)
    seen = probe(model.family) if Decoder(TABLE, ()).lacks(node) else None
    named = f"{model.family.name} with link {model.family.link.name}"
    facts["the family"] = f"{named} ({_digest(node, encode.arrays, seen)})"
    facts["the design"] = _digest(jax.tree.leaves(model.layout), str(jax.tree.structure(model.layout)))
    if options.road is not None:
        facts["the solver's steps"] = _digest(options.road.fingerprint())
    if source.own.n_rows:
        first = next(iter(source.own.iterate(Itself(), model, None)))
        facts["the first rows"] = _digest(cut(first, 0, _FIRST))
    if source.n_rows and not source.read_anew:
        sums = source.reduce(Survey("none"), model, None)
        facts |= {"sum of the response": repr(float(sums.total)), "sum of weights": repr(float(sums.weight))}
    return facts


def _digest(*values: Any) -> str:
    """A short text that differs where values do."""
    made = hashlib.sha256()
    for leaf in jax.tree.leaves(values):
        if isinstance(leaf, (np.ndarray, jax.Array)):
            leaf = np.ascontiguousarray(leaf)
            made.update(f"{leaf.dtype} {leaf.shape}".encode())
            made.update(leaf.tobytes())
        else:
            made.update(json.dumps(leaf, default=repr).encode())
    return made.hexdigest()[:12]
