"""Results that were saved and loaded."""

import io
import itertools
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import family_table
import jax
import numpy as np
import pandas as pd
import pytest
import saved_models

import jaxglm as jg
from jaxglm import families, links
from jaxglm.results import storage
from jaxglm.tree import pytree

ROOT = Path(jg.__file__).parents[1]
GOLDEN = ROOT / "tests" / "reference" / "saved"
#: Another machine's rounding: libraries for logarithms and products differ in the last digits.
ELSEWHERE = 1e-9


def content(res) -> bytes:
    file = io.BytesIO()
    res.save(file)
    return file.getvalue()


def again(data: bytes, **own):
    return jg.load(io.BytesIO(data), **own)


@pytest.fixture(scope="module")
def models():
    """Fits by name, each made once."""
    made = {}

    def get(name):
        if name not in made:
            with pytest.warns() if name in ("separated", "aliased") else nothing():
                made[name] = saved_models.CASES[name].fit()
        return made[name]

    return get


class nothing:
    def __enter__(self):
        return self

    def __exit__(self, *problem):
        return None


def same_tables(a, b):
    # Bit for bit, NaN included.
    for method in ("params", "bse", "tvalues", "pvalues"):
        pd.testing.assert_series_equal(getattr(a, method), getattr(b, method), check_exact=True)
    for method, options in (("tidy", (True,)), ("glance", ()), ("cov_params", ()), ("conf_int", (0.1,))):
        one, other = (getattr(res, method)(*options) for res in (a, b))
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert str(a.summary()) == str(b.summary()) and a.summary().as_html() == b.summary().as_html()


@pytest.mark.parametrize("name", saved_models.CASES)
def test_a_loaded_result_infers_and_predicts_the_same(name, models):
    case, res = saved_models.CASES[name], models(name)
    data = content(res)
    back = again(data, **case.own)
    same_tables(res, back)
    for which in ("linear", *(["mean"] if res.fit.model.family.has("mean") else [])):
        one, other = (r.get_prediction(which=which, **case.new).summary_frame(0.1) for r in (res, back))
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        pd.testing.assert_series_equal(
            res.predict(which=which, **case.new), back.predict(which=which, **case.new), check_exact=True
        )
    for kind in res.fit.informations:
        np.testing.assert_array_equal(res.with_cov(res.cov_type, kind).bse, back.with_cov(res.cov_type, kind).bse)
    assert back.status is res.status and back.n_passes == res.n_passes
    # Saved again, it is the same file.
    assert content(back) == data


def test_what_needs_rows_says_so(models):
    res = again(content(models("labels")))
    other = "expected" if res.information == "observed" else "observed"
    for ask in (
        lambda: res.resid(), lambda: res.fittedvalues, lambda: res.linear_predictor, lambda: res.predict(),
        lambda: res.augment(), lambda: res.simulate(), lambda: res.with_cov(information=other), lambda: res.plot.effect("z"),
    ):  # fmt: skip
        with pytest.raises(jg.NotAvailableError, match="not kept"):
            ask()


def test_every_information_that_was_there_is_kept(models):
    res = models("labels")
    both = res.with_cov(information="expected")
    back = again(content(both))
    assert back.information == "expected" and back.bse.equals(both.bse) and not back.bse.equals(res.bse)
    assert back.with_cov(information="observed").bse.equals(res.bse)


def test_arrays_beside_the_data_are_asked_for_again(models):
    res = again(content(models("arrays")))
    with pytest.raises(jg.InputError, match="offset= given as values"):
        res.predict(saved_models.X)
    mean = {"offset": float(np.mean(saved_models.OFFSET))}
    assert res.intake.mean_offset() == models("arrays").intake.mean_offset() == pytest.approx(mean)


def test_a_column_beside_the_data_is_read_again(models):
    res, back = models("joint"), again(content(models("joint")))
    with pytest.raises(jg.JaxglmError, match="'t'"):
        back.predict(saved_models.frame(5).drop(columns="t"))
    assert back.intake.needs == res.intake.needs
    with pytest.raises(jg.UnseenLevelError):
        back.predict(saved_models.frame(5).assign(f="new"))


@pytest.mark.parametrize("name", family_table.FAMILIES)
def test_every_family_comes_back(name, models):
    """Equal as a tree with equal leaves, so that the same compiled code runs on the same numbers."""
    family = family_table.FAMILIES[name].family
    base = models("power")
    intake = replace(base.intake, family=family)
    model = replace(base.fit.model, family=family)
    res = replace(base, intake=intake, fit=replace(base.fit, model=model, source=None, known_llf=-1.5))
    own = {"family": family} if name == "quasi squared" else {}
    back = again(content(res), **own)
    for found in (back.intake.family, back.fit.model.family):
        assert jax.tree.structure(found) == jax.tree.structure(family)
        assert jax.tree.leaves(found) == jax.tree.leaves(family)
        assert repr(found) == repr(family)
    same_tables(res, back)


@pytest.mark.parametrize("link", [*(cls() for cls in links.NAMED.values()), links.Power(1 / 3)], ids=str)
def test_every_link_comes_back(link):
    encode = storage.Encoder(storage.TABLE)
    node = json.loads(json.dumps(encode(families.Gaussian(link))))
    assert repr(storage.Decoder(storage.TABLE, [])(node)) == repr(families.Gaussian(link))


def test_every_kind_declares_types_that_can_be_checked():
    for kind in storage.TABLE.by_class.values():
        if hasattr(kind.cls, "__dataclass_fields__"):
            assert set(kind.hints) >= set(kind.fields), kind.name
            assert set(kind.without) <= set(kind.fields), kind.name


def test_the_size_does_not_depend_on_the_rows():
    def size(n):
        r = np.random.default_rng(0)
        data = pd.DataFrame({"x": r.normal(size=n), "f": r.choice(["a", "b"], n), "y": r.poisson(2.0, n)})
        data.index = [f"label {i}" for i in range(n)]
        beside = {"offset": r.normal(size=n) * 0.1, "freq_weights": pd.Series(1.0 + np.arange(n) % 3, data.index)}
        return len(content(jg.glm("y ~ f + bs(x, df=4)", data, "poisson", **beside)))

    small, large = size(200), size(2000)
    # Decimals of numbers differ a little in length.
    assert abs(small - large) < 200 and large < 20_000


def test_a_fresh_process_predicts_the_same_bits(models, tmp_path):
    names = ("splines", "joint", "arrays")
    wanted = {}
    for name in names:
        models(name).save(tmp_path / f"{name}.jaxglm")
        found = models(name).get_prediction(**saved_models.CASES[name].new).summary_frame()
        wanted[name] = [float(v).hex() for v in found.to_numpy().ravel()]
    code = (
        "import sys, json, jaxglm as jg, saved_models as m\n"
        f"for name in {names!r}:\n"
        f"    res = jg.load({str(tmp_path)!r} + '/' + name + '.jaxglm')\n"
        "    found = res.get_prediction(**m.CASES[name].new).summary_frame()\n"
        "    print(json.dumps([float(v).hex() for v in found.to_numpy().ravel()]))\n"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "unit")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == list(wanted.values())


# -- functions of the user ---------------------------------------------------------------------------------------


def test_own_functions_have_to_be_passed_again(models):
    data = content(models("functions"))
    with pytest.raises(jg.InputError, match=r"functions=\{'half': \.\.\., 'ratio': \.\.\.\}"):
        again(data)
    with pytest.raises(jg.InputError, match=r"functions=\{'ratio': \.\.\.\}"):
        again(data, functions={"half": saved_models.half})
    right = saved_models.CASES["functions"].own["functions"]
    with pytest.raises(jg.InputError, match=r"half\(\) gives other values"):
        again(data, functions={**right, "half": lambda x: 0.500001 * x})
    with pytest.raises(jg.InputError, match=r"ratio\(\) gives other values"):
        again(data, functions={**right, "ratio": lambda x, y: y / x})
    # A known name that the file does not give to a function of the user keeps its meaning.
    back = again(data, functions={**right, "log": lambda x: -x})
    assert back.params.equals(again(data, functions=right).params) and "log" not in back.intake.spec.functions


def test_trust_imports_what_the_file_names(models, monkeypatch):
    data = content(models("functions"))
    assert again(data, trust=True).params.equals(models("functions").params)
    assert again(content(models("quasi")), trust=True).params.equals(models("quasi").params)
    student = again(content(models("student")), trust=True)
    assert student.fit.model.family.function is saved_models.student
    # What cannot be imported by name cannot be trusted either.
    lonely = jg.glm("y ~ mine(x)", saved_models.frame(), functions={"mine": lambda x: x + 1.0})
    with pytest.raises(jg.InputError, match=r"functions=\{'mine': \.\.\.\}"):
        again(content(lonely), trust=True)
    monkeypatch.delattr(saved_models, "half")
    with pytest.raises(jg.InputError, match="saved_models.half cannot be imported"):
        again(data, trust=True)
    monkeypatch.setattr(saved_models, "half", lambda x: x, raising=False)
    with pytest.raises(jg.InputError, match=r"half\(\) gives other values"):
        again(data, trust=True)


def test_only_functions_that_are_called_are_needed():
    more = {"half": saved_models.half, "log10": saved_models.half, "never": saved_models.ratio}
    res = jg.glm("y ~ half(x)", saved_models.frame(), functions=more)
    assert again(content(res), functions={"half": saved_models.half}).params.equals(res.params)


def test_functions_of_text_are_taken_as_they_are():
    def first_half(labels):
        return np.array([str(v) < "b" for v in labels]) * 1.0

    res = jg.glm("y ~ early(f)", saved_models.frame(), functions={"early": first_half})
    back = again(content(res), functions={"early": first_half})
    new = saved_models.frame(6, 8)
    assert back.predict(new).equals(res.predict(new))


def test_an_own_family_or_link_has_to_be_the_one_that_was_fitted(models):
    data = content(models("student"))
    with pytest.raises(jg.InputError, match=r"jg.load\(path, family=\.\.\."):
        again(data)
    other = jg.custom_family(saved_models.student, ("mean", "log_scale"), params={"df": 4.1}, mean=saved_models.first)
    with pytest.raises(jg.InputError, match="not the one that was fitted: its .* differs"):
        again(data, family=other)
    without = jg.custom_family(saved_models.student, ("mean", "log_scale"), params={"df": 4.0})
    with pytest.raises(jg.InputError, match="not the one that was fitted"):
        again(data, family=without)
    with pytest.raises(jg.InputError, match="not the one that was fitted"):
        again(data, family="poisson")
    data = content(models("quasi"))
    with pytest.raises(jg.InputError, match="its .* differs"):
        again(data, family=jg.Quasi(lambda mu: mu, "log"))
    with pytest.raises(jg.InputError, match="what it is made of differs"):
        again(data, family=jg.Quasi(saved_models.squared, "identity"))
    data = content(models("own link"))
    with pytest.raises(jg.InputError, match=r"jg.load\(path, link=\.\.\."):
        again(data)
    with pytest.raises(jg.InputError, match="its .* differs"):
        again(data, link=jg.Link.from_inverse(lambda eta: 0.25 + 0.75 * jax.nn.sigmoid(eta)))
    whole = jg.Binomial(saved_models.GUESS)
    assert again(data, family=whole).params.equals(models("own link").params)


def test_a_family_that_the_file_holds_may_be_passed_if_it_is_the_same(models):
    data = content(models("known alpha"))
    assert again(data, family=jg.NegativeBinomial(alpha=0.7)).params.equals(models("known alpha").params)
    assert again(data, link="log").params.equals(models("known alpha").params)
    for wrong in ({"family": jg.NegativeBinomial(alpha=0.8)}, {"link": "sqrt"}, {"family": saved_models.STUDENT}):
        with pytest.raises(jg.InputError, match="not the one that was fitted"):
            again(data, **wrong)


def test_a_class_of_the_user_is_passed_again(models):
    @pytree
    class Shifted(jg.Poisson):
        """A subclass, which files cannot hold."""

        def mean(self, eta, aux):
            return super().mean(eta, aux) + 1.0

    X = saved_models.X
    res = jg.fit(X, np.arange(60) % 5, Shifted())
    with pytest.raises(jg.InputError, match="family="):
        again(content(res), trust=True)
    with pytest.raises(jg.InputError, match="not the one that was fitted: its mean differs"):
        again(content(res), family=jg.Poisson())
    assert again(content(res), family=Shifted()).predict(X).equals(res.predict(X))


def test_parameters_that_no_file_can_hold_come_with_the_family():
    class Box:
        pass

    jax.tree_util.register_pytree_node(Box, lambda b: ((b.v,), None), lambda _, v: setattr(b := Box(), "v", v[0]) or b)
    box = Box()
    box.v = 2.0
    family = jg.custom_family(lambda y, eta, aux: (y - eta[0]) ** 2 * aux["params"].v, params=box)
    res = jg.fit(saved_models.X, saved_models.X[:, 0] ** 2, family)
    back = again(content(res), family=family)
    assert back.bse.equals(res.bse)


@pytest.mark.parametrize(
    "wrong, error",
    [
        ({"trust": "yes"}, jg.InputTypeError), ({"functions": ["f"]}, jg.InputTypeError),
        ({"functions": {"f": 1}}, jg.InputTypeError), ({"family": 3}, jg.InputTypeError), ({"link": 3}, jg.InputTypeError),
    ],
)  # fmt: skip
def test_wrong_arguments(wrong, error, models):
    with pytest.raises(error):
        again(content(models("power")), **wrong)


def test_a_formula_in_a_file_runs_nothing(models):
    def tampered(change):
        return repacked(content(models("labels")), lambda m: json.loads(json.dumps(m).replace(*change)))

    for code in ("__import__('os').getcwd()", "x.__class__", "(lambda: 1)()", "open('y')"):
        with pytest.raises(jg.JaxglmError):
            again(tampered(("I(x > 2)", code)))
        with pytest.raises(jg.JaxglmError):
            again(tampered(("I(x > 2)", code)), trust=True)


def test_what_files_have_no_form_for_is_refused(models, tmp_path):
    res = models("power")
    odd = replace(res, covariance=replace(res.covariance, kind=object()))
    with pytest.raises(jg.NotAvailableError, match="covariance cannot be saved"):
        odd.save(tmp_path / "model.jaxglm")
    assert not list(tmp_path.iterdir())


# -- files of other versions, and damaged ones -------------------------------------------------------------------


def repacked(data: bytes, change) -> bytes:
    """The same archive with another manifest, and right checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            body = old.read(info)
            if info.filename == "manifest.json":
                body = json.dumps(change(json.loads(body))).encode()
            new.writestr(info, body)
    return out.getvalue()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jaxglm")), ids=lambda p: p.stem)
def test_files_of_every_version_load(path):
    """Written once by make_saved.py and kept: what a released version wrote has to be read for ever."""
    expected = json.loads(path.with_suffix(".json").read_text())
    case = saved_models.CASES[path.stem.split("-")[1].replace("_", " ")]
    res = jg.load(path, **case.own)
    assert list(map(str, res.params.index)) == expected["names"]
    new = {key: pd.DataFrame(value) if isinstance(value, dict) else value for key, value in expected["new"].items()}
    made = {
        "params": res.params, "bse": res.bse, "mean": res.predict(**new), "llf": [res.llf],
        "se": res.get_prediction(**new).se,
    }  # fmt: skip
    for name, values in made.items():
        np.testing.assert_allclose(values, expected[name], rtol=ELSEWHERE, err_msg=name)


def test_there_are_files_of_this_version():
    assert len(list(GOLDEN.glob(f"v{storage.VERSION}-*.jaxglm"))) >= 3


def test_a_newer_version_says_so(models):
    newer = repacked(content(models("power")), lambda m: {**m, "version": storage.VERSION + 1, "jaxglm": "9.9"})
    with pytest.raises(jg.StorageError, match="jaxglm 9.9.*upgrade"):
        again(newer)


def test_a_field_that_came_later_gets_its_default(models):
    def older(manifest):
        del manifest["fit"]["object"][1]["quantiles"]
        return manifest

    back = again(repacked(content(models("power")), older))
    assert back.summary(residuals=True).residuals is None and back.params.equals(models("power").params)


MISSHAPEN = {
    "no manifest keys": lambda m: {k: m[k] for k in ("format", "version")},
    "another format": lambda m: {**m, "format": "table"},
    "version as text": lambda m: {**m, "version": "1"},
    "version 0": lambda m: {**m, "version": 0},
    "a list": lambda m: [m],
    "fit of another class": lambda m: {**m, "fit": m["labels"]},
    "unknown class": lambda m: {**m, "covariance": {"object": ["os.system", {}]}},
    "unknown tag": lambda m: {**m, "covariance": {"call": ["os", "system"]}},
    "two tags": lambda m: {**m, "covariance": {"array": 0, "object": []}},
    "no such array": lambda m: json.loads(json.dumps(m).replace('{"array": 1}', '{"array": 99}')),
    "array before the first": lambda m: json.loads(json.dumps(m).replace('{"array": 1}', '{"array": -1}')),
    "arrays exchanged": lambda m: json.loads(json.dumps(m).replace('{"array": 0}', '{"array": 1}')),
    "text for a number": lambda m: json.loads(json.dumps(m).replace('"nobs": 60.0', '"nobs": "60"')),
    "truth for a number": lambda m: json.loads(json.dumps(m).replace('"nobs": 60.0', '"nobs": true')),
    "names of another model": lambda m: json.loads(json.dumps(m).replace('"x1"', '"x9"', 1)),
    "no such status": lambda m: json.loads(json.dumps(m).replace('"CONVERGED"', '"DONE"')),
    "no information": lambda m: json.loads(json.dumps(m).replace('"information": "expected"', '"information": "x"')),
    "power as text": lambda m: json.loads(json.dumps(m).replace('{"p": 0.5}', '{"p": "0.5"}')),
    "family is a link": lambda m: {**m, "family": m["family"]["object"][1]["link"]},
    "deep": lambda m: {**m, "covariance": eval("[" * 80 + "]" * 80)},
}


@pytest.mark.parametrize("how", MISSHAPEN)
def test_a_misshapen_manifest_is_refused(how, models):
    with pytest.raises(jg.StorageError):
        again(repacked(content(models("power")), MISSHAPEN[how]))


def spots(node, path=()):
    """Where every piece of a JSON document stands."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from spots(value, (*path, key))


@pytest.mark.parametrize("name", ["counts", "student", "arrays"])
def test_any_change_of_the_manifest_loads_or_is_an_error_of_ours(name, models):
    case, data = saved_models.CASES[name], content(models(name))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    r = np.random.default_rng(0)
    values = [None, True, -1, 10**30, 0.5, "", "x", [], {}, [1], {"array": 0}, {"tuple": []}, {"float": "nan"}, "DELETE"]  # fmt: skip
    everywhere = [p for p in spots(manifest) if p]
    for i in r.choice(len(everywhere), 150, replace=False):
        *way, last = everywhere[i]
        value = values[r.integers(len(values))]

        def change(made, way=way, last=last, value=value):
            node = made
            for key in way:
                node = node[key]
            if value == "DELETE":
                del node[last]
            else:
                node[last] = value
            return made

        try:
            again(repacked(data, change), **case.own)
        except jg.JaxglmError as problem:
            assert len(str(problem)) > 20


def test_a_flipped_bit_is_an_error_or_changes_nothing(models):
    data = content(models("weights"))
    caught = 0
    for i in range(0, len(data), 13):
        broken = bytearray(data)
        broken[i] ^= 1 << (i % 8)
        try:
            back = again(bytes(broken))
        except jg.StorageError:
            caught += 1
        else:
            # A date or a flag of the archive, which nobody reads.
            assert content(back) == data
    assert caught > 0.9 * len(range(0, len(data), 13))


def test_a_cut_file_is_an_error(models):
    data = content(models("weights"))
    for end in itertools.chain(range(0, len(data), 97), range(len(data) - 60, len(data))):
        with pytest.raises(jg.StorageError):
            again(data[:end])
