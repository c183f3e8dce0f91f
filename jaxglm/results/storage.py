"""Results in a file, and back.

What is saved is what was estimated and what was learned from the data; rows are not. Functions of the user are not
either: a file says which it needs, and what they gave when it was written.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm import archive, codec, design, families, links, precision, resolve
from jaxglm.batched import Batch, Dependences, Segments, Work
from jaxglm.codec import Decoder, Encoder, Kind
from jaxglm.errors import InputError, InputTypeError, JaxglmError, NotAvailableError, Status, StorageError
from jaxglm.families import Family
from jaxglm.families.probe import agree, probe
from jaxglm.fitted import Fit, Options
from jaxglm.formula import FormulaSpec
from jaxglm.inference.cluster import Cluster
from jaxglm.inference.covariance import Covariance, Nonrobust, Survey
from jaxglm.inference.hac import HAC
from jaxglm.inference.robust import HC
from jaxglm.intake import ArrayIntake, Beside, FormulaIntake
from jaxglm.intake.response import Encoder as ResponseEncoder
from jaxglm.kernels import Model
from jaxglm.links import Link
from jaxglm.precision import Precision
from jaxglm.results.labels import Labels
from jaxglm.results.summary import residual_quantiles
from jaxglm.solvers.information import Information
from jaxglm.solvers.rank import Rank
from jaxglm.together import Together

if TYPE_CHECKING:
    from jaxglm.results.grouped import GroupedResults
    from jaxglm.results.results import Results

FORM, VERSION = "jaxglm results", 1
GROUPED = "jaxglm grouped results"
#: What files may be, and the newest version of each.
FORMS = {FORM: VERSION, GROUPED: 1}
#: Arguments at which a user's function for formulas is tried.
_POINTS = np.linspace(0.15, 2.85, 7)


def _kinds(module: Any, *bases: type) -> list[Kind]:
    """The classes that a package lists, abstract ones apart."""
    classes = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, bases)]
    return [Kind(cls) for cls in classes if is_dataclass(cls)]


#: All that files may hold. Kinds of covariance and other parts of a result must be entered here to be saved.
TABLE = codec.Table(
    [
        *_kinds(families, Family),
        *_kinds(links, Link),
        *_kinds(design, design.Design, design.Coding, design.Layout),
        Kind(Batch),
        Kind(Dependences),
        Kind(Segments),
        Kind(Together),
        Kind(Work, without=("rows", "model", "name_row", "name_column", "codes")),
        Kind(ArrayIntake, without=("family", "given")),
        Kind(Beside),
        Kind(Cluster),
        Kind(Covariance),
        Kind(Fit, without=("model", "source", "witness")),
        Kind(FormulaIntake, without=("family", "specs", "designs", "table", "given", "frames")),
        Kind(HAC),
        Kind(HC),
        Kind(Information),
        Kind(Labels, without=("index",)),
        Kind(Nonrobust),
        Kind(Options, without=("road",)),
        Kind(Rank),
        Kind(ResponseEncoder),
        Kind(Survey),
        Kind(Precision, members=resolve.PRECISIONS),
        Kind.of_enum(Status),
    ]
)


def save(res: Results, path: Any) -> None:
    """See :meth:`jaxglm.results.answers.Answers.save`."""
    parts = {
        "fit": replace(res.fit, known_llf=res.fit.llf, quantiles=residual_quantiles(res)),
        "labels": res.labels,
        "covariance": replace(res.covariance, estimator=res.covariance.estimator.without_rows()),
        "intake": without_rows(res.intake),
    }
    manifest, arrays = packed(parts, res.intake)
    archive.write(path, {"format": FORM, "version": VERSION, **manifest}, arrays)


def without_rows(intake: Any) -> Any:
    """An intake as a file holds it."""
    return replace(intake, beside=intake.beside.without_rows())


def packed(parts: dict[str, Any], intake: Any) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The manifest and the arrays of the parts of a result, with what its formulas and its family need."""
    family, specs = intake.family, getattr(intake, "specs", ())
    encode = Encoder(TABLE)
    body = {name: encode(part) for name, part in parts.items()}
    trusting = Decoder(TABLE, encode.arrays, trust=True)
    for name, node in body.items():
        if trusting.lacks(node):
            raise NotAvailableError(f"this {name} cannot be saved: it holds something that files have no form for")
    node = encode(family)
    called = {name: spec.functions[name] for spec in specs for name in spec.to_json()["functions"]}
    body |= {
        "family": node,
        "probe": encode(_probed(family) if Decoder(TABLE, ()).lacks(node) else None),
        "formulas": [spec.to_json() for spec in specs],
        "functions": encode({name: [function, _tried(function)] for name, function in called.items()}),
    }
    return {"jaxglm": sys.modules["jaxglm"].__version__, **body}, encode.arrays


def load(
    path: Any,
    *,
    trust: bool = False,
    family: Any = None,
    link: Any = None,
    functions: Mapping[str, Callable] | None = None,
) -> Results | GroupedResults:
    """A result from a file of its ``save()``; it predicts and infers as the one that was saved.

    Nothing in the file is run: it holds numbers and text, and formulas are evaluated by a closed list of functions.
    The rows are not in it, so residuals, fitted values, covariances that need them, and single groups of a
    GroupedResults raise NotAvailableError.

    Parameters
    ----------
    path : path or binary file object
    trust : bool
        Import functions of your own by the module and name that the file gives. This runs the code of that module, so
        do it only for files of known origin; without it such functions are refused until they are passed.
    family : Family, optional
        The family again, where it is made of functions of your own (``custom_family``, ``Quasi``) or is your own class.
    link : Link, optional
        The link again, where it is your own.
    functions : dict of str to callable, optional
        Your own functions that the formula calls; others in it are left alone.

    Returns
    -------
    Results or GroupedResults

    Raises
    ------
    StorageError
        No file of a result, damaged or cut short, or written by a newer version.
    InputError
        Functions of your own are missing, which the message names, or give other values than when the file was written.
    FormulaError
        A formula in the file calls what formulas may not call.
    OSError
        The file cannot be opened.

    Notes
    -----
    The file does not grow with the number of rows: it holds a few (P, P) matrices for P coefficients (a few vectors
    for each group), and the levels of factors. What functions give is compared at fixed points, which can tell that
    they differ, not that they agree.

    Examples
    --------
    >>> import io
    >>> import jaxglm as jg
    >>> file = io.BytesIO()
    >>> jg.fit([[0.0], [1.0], [2.0], [3.0]], [1, 2, 4, 9], family="poisson").save(file)
    >>> _ = file.seek(0)
    >>> print(jg.load(file).params.round(4).to_dict())
    {'Intercept': -0.0605, 'x1': 0.7478}
    """
    if not isinstance(trust, bool):
        raise InputTypeError(f"trust must be True or False, not {trust!r}")
    functions = _checked(functions)
    manifest, arrays = archive.read(path, FORMS)
    try:
        with precision.scope():
            from jaxglm.results import grouped_storage

            unpack = grouped_storage.unpacked if manifest["format"] == GROUPED else _unpacked
            return unpack(manifest, Decoder(TABLE, arrays, trust), family, link, functions)
    except StorageError as problem:
        raise StorageError(f"the file is damaged: {problem}; save the model again") from problem
    except JaxglmError:
        raise
    except Exception as problem:
        # JSON of another shape than ours fails wherever it is first used.
        raise StorageError(
            f"the file is damaged ({type(problem).__name__}: {problem}); save the model again"
        ) from problem


def _checked(functions: Any) -> dict[str, Callable]:
    if functions is not None and not isinstance(functions, Mapping):
        raise InputTypeError(f"functions must be a dict from names to functions, not {functions!r}")
    for name, function in (functions or {}).items():
        if not callable(function):
            raise InputTypeError(f"functions[{name!r}] must be a function, not {function!r}")
    return dict(functions or {})


def _unpacked(manifest: dict[str, Any], decode: Decoder, family: Any, link: Any, functions: dict) -> Results:
    from jaxglm.results.results import Results

    intake = intake_of(manifest, decode, family, link, functions)
    fit = decode.object(manifest["fit"], {"model": Model(intake.family, intake.layout), "source": None})
    made = Results(fit, decode(manifest["labels"]), decode(manifest["covariance"]), intake)
    _check(made)
    return made


def intake_of(manifest: dict[str, Any], decode: Decoder, family: Any, link: Any, functions: dict) -> Any:
    """What a file says of how data is taken in, with the family and the functions that it or the user gives."""
    _require_all(manifest, decode, family, link, functions)
    family = _family(manifest, decode, family, link)
    given = _functions(manifest, decode, functions)
    specs = tuple(FormulaSpec.from_json(saved, _part_of(given, saved)) for saved in manifest["formulas"])
    parts = {"family": family, "specs": specs, "designs": tuple(spec.design for spec in specs)}
    return decode.object(manifest["intake"], parts)


def _part_of(given: dict[str, Callable], saved: dict[str, Any]) -> dict[str, Callable]:
    """The functions that a formula calls; others may have the names of functions that are known."""
    return {name: given[name] for name in saved["functions"] if name in given}


def _require_all(manifest: dict[str, Any], decode: Decoder, family: Any, link: Any, functions: dict) -> None:
    """An error that names all functions that have to be passed again."""
    needed, node = [], manifest["family"]
    if family is None and decode.lacks(node):
        fields = {} if "foreign" in node else node["object"][1]
        only_link = not any(decode.lacks(value) for name, value in fields.items() if name != "link")
        if not (fields and only_link):
            needed.append("family=... (the family that was fitted)")
        elif link is None:
            needed.append("link=... (the link that was fitted)")
    saved = {name: decode.lacks(value) for name, value in manifest["functions"]["dict"]}
    missing = [name for name, lacking in saved.items() if lacking and name not in functions]
    if missing:
        needed.append("functions={" + ", ".join(f"{name!r}: ..." for name in missing) + "}")
    if needed:
        raise InputError(
            "the saved model calls functions of your own, which files do not hold; pass them again: jg.load(path, "
            + ", ".join(needed)
            + "). trust=True imports those that can be found by their module and name"
        )


def _family(manifest: dict[str, Any], decode: Decoder, family: Any, link: Any) -> Family:
    """The family of a file, or the one that was given if it is the same."""
    node = manifest["family"]
    if family is not None:
        found = resolve.family(family, link)
    elif link is not None:
        found = resolve.family(decode.object(node, {"link": resolve.resolve_link(link)}))
    else:
        found = decode(node)
    if not isinstance(found, Family):
        raise StorageError("its family is none")
    probed = decode(manifest["probe"])
    if probed is None:
        saved = decode(node)
        if not _same(found, saved):
            raise InputError(f"the family {found} is not the one that was fitted, which is {saved}; pass that one")
        return found
    wanted, values = probed
    differs = agree(values, probe(found)) if wanted == _described(found) else "what it is made of"
    if differs is not None:
        raise InputError(f"the family {found} is not the one that was fitted: its {differs} differs; pass that one")
    return found


def _same(found: Family, saved: Family) -> bool:
    """Whether a family is one that files hold whole, and is equal to another."""
    encode = Encoder(TABLE)
    decode = Decoder(TABLE, encode.arrays)
    node = encode(found)
    return not decode.lacks(node) and repr(decode(node)) == repr(saved)


def _probed(family: Family) -> list[Any]:
    with precision.scope():
        return [_described(family), probe(family)]


def _described(family: Family) -> list[Any]:
    """What two families must share before their values can be compared."""
    methods = [m for m in ("mean", "variance", "cdf", "sample", "unit_deviance", "logpdf") if family.has(m)]
    return [family.name, list(family.predictors), list(family.aux_names), family.link.name, methods]


def _functions(manifest: dict[str, Any], decode: Decoder, functions: dict[str, Callable]) -> dict[str, Callable]:
    """The user's functions for formulas: those that are given, else those that can be imported."""
    found = {}
    for name, (node, values) in manifest["functions"]["dict"]:
        found[name] = functions[name] if name in functions else decode(node)
        saved, now = decode(values), _tried(found[name])
        if saved is None:
            continue
        if now is None or not np.allclose(now, saved, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise InputError(f"your function {name}() gives other values than when the model was saved; pass that one")
    return found


def _tried(function: Callable) -> np.ndarray | None:
    """What a user's function gives for some numbers, or None if it takes none."""
    try:
        taken = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
        count = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in taken)
    except (TypeError, ValueError):
        count = 1
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made = np.asarray(function(*(_POINTS + 0.1 * i for i in range(max(count, 1)))), float)
    except Exception:
        # It may want text or dates, and then it is taken as it is.
        return None
    return made if made.shape[:1] == _POINTS.shape else None


def _check(res: Results) -> None:
    """Whether the parts of a file belong together: P is the same for all, and numbers are numbers."""
    fit, names = res.fit, res.intake.names
    p = len(names)
    if res.labels.names != names or fit.model.layout.n_coefficients != p:
        raise StorageError("its coefficients are not those of its formula")
    if fit.information not in fit.informations:
        raise StorageError("its information is missing")
    vectors = [("f", v) for v in (fit.theta, fit.column_lengths, fit.recession, fit.options.start)]
    vectors += [("b", v) for v in (fit.held, fit.natural, fit.rank.active)]
    vectors += [("f", v) for v in fit.rank.dependence.values()]
    matrices = [fit.meat, res.covariance.matrix]
    for information in fit.informations.values():
        vectors += [("f", information.scale), ("b", information.active)]
        matrices.append(information.lower)
    if any(v is not None and (v.shape != (p,) or v.dtype.kind != kind) for kind, v in vectors):
        raise StorageError("an array has another length than there are coefficients")
    if any(m is not None and (m.shape != (p, p) or m.dtype.kind != "f") for m in matrices):
        raise StorageError("a matrix has another size than there are coefficients")
    if any(not 0 <= j < p for j in fit.rank.dependence):
        raise StorageError("a column that is not there is said to be aliased")
    if fit.quantiles is not None and fit.quantiles.shape != (5,):
        raise StorageError("the quantiles of its residuals are not five")
