"""Classes: what a definition may say, what a call may ask for, and which queue that makes."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.classes import PARAMETERS_BYTES, ClassSpec, Misaimed, Parameter, aim, queue_of, read_texts
from yurt.domain.definitions import parse_definition
from yurt.domain.errors import Invalid
from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.source_tree import SourceTree

CLASS: dict[str, Any] = {"entrypoint": "main:Model", "kind": "class", "methods": ["run"]}
SPEC = ClassSpec(
    methods=("run", "size"),
    parameters=(
        Parameter(name="model", type="str", default="small"),
        Parameter(name="width", type="int", default=3),
        Parameter(name="deep", type="bool", default=False),
        Parameter(name="salt", type="bytes", default=""),
    ),
)


def refused(value: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse_definition(dict(value))
    return {error.pointer: error.message for error in caught.value.errors}


def one(**more: Any) -> dict[str, Any]:
    return {"name": "model", "type": "str"} | more


# ------------------------------------------------------------------ definitions


def test_a_class_has_methods_hooks_and_parameters() -> None:
    found = parse_definition(CLASS | {"enter": ["load"], "exit": ["close"], "parameters": [one(default="small")]})
    assert found.of_class == ClassSpec(("run",), ("load",), ("close",), (Parameter(**one(default="small")),))
    assert parse_definition({"entrypoint": "main:f"}).of_class is None


@pytest.mark.parametrize(
    ("more", "at", "says"),
    [
        ({"methods": []}, "/methods", "must name what can be called"),
        ({"methods": None}, "/methods", "must"),
        ({"methods": ["run", "run"]}, "/methods/1", "names run twice"),
        ({"methods": ["a-b"]}, "/methods/0", "must be a name of Python"),
        ({"enter": ["class"]}, "/enter/0", "must be a name of Python"),
        ({"exit": "close"}, "/exit", "must be a list"),
        ({"parameters": [one(type="string")]}, "/parameters/0/type", "must be"),
        ({"parameters": [one(), one()]}, "/parameters/1/name", "names model twice"),
        ({"parameters": [one(default=3)]}, "/parameters/0/default", "must be a string, got 3"),
        ({"parameters": [one(type="int", default=True)]}, "/parameters/0/default", "must be a whole number"),
        ({"parameters": [one(type="int", default=1 << 63)]}, "/parameters/0/default", "must fit into 64 bits"),
        ({"parameters": [one(type="bool", default=0)]}, "/parameters/0/default", "must be true or false"),
        ({"parameters": [one(type="bytes", default="é")]}, "/parameters/0/default", "base64"),
        ({"parameters": [one(tpye="str")]}, "/parameters/0/tpye", "Did you mean type?"),
        ({"parameters": [one(default="x" * PARAMETERS_BYTES)]}, "/parameters", "at most 16 KiB"),
        ({"parameters": 3}, "/parameters", "must be a list"),
        ({"parameters": [3], "min_containers": 1}, "/parameters/0", "must be an object"),
        ({"parameters": [one(name=3)]}, "/parameters/0/name", "must be a string"),
        ({"methods": 3, "schedule": {"cron": "* * * * *"}}, "/methods", "must be a list"),
        ({"parameters": [one()], "min_containers": 1}, "/min_containers", "give a default to model"),
        ({"parameters": [one()], "schedule": {"cron": "* * * * *"}}, "/schedule", "give a default to model"),
        ({"methods": ["a", "b"], "schedule": {"cron": "* * * * *"}}, "/schedule", "needs a class with one method"),
    ],
)
def test_what_is_wrong_with_a_class_is_named(more: dict[str, Any], at: str, says: str) -> None:
    errors = refused(CLASS | more)
    assert says in errors[at], errors


@pytest.mark.parametrize("key", ["methods", "enter", "exit"])
def test_what_is_of_classes_is_refused_for_functions(key: str) -> None:
    assert 'send kind "class"' in refused({"entrypoint": "main:f", key: ["run"]})[f"/{key}"]


# ------------------------------------------------------------------ the source


SOURCE = """
class Model:
    def __init__(self, model, width=3): pass
    def load(self): pass
    def warm(self, times): pass
    def run(self, text): pass
    def size(self): pass
    def each(self): yield 1
    class Inner: pass
    @thing
    def odd(self): pass
def f(): pass
"""


def problems(
    source: str = SOURCE, entrypoint: str = "main:Model", *, scheduled: bool = False, batched: bool = False, **spec: Any
) -> Any:
    files = {"main.py": source.encode()}
    tree = SourceTree({path: len(data) for path, data in files.items()}, files.__getitem__)
    named = [Parameter(**one(name=name)) for name in spec.pop("parameters", ["model"])]
    found = tree.check_class(entrypoint, ClassSpec(**{"methods": ("run",), "parameters": tuple(named)} | spec),
                             scheduled=scheduled, batched=batched)  # fmt: skip
    return {"/".join(map(str, error.key)): error.message for error in found}


def test_a_class_that_has_what_is_named_is_right() -> None:
    assert problems(methods=("run", "size", "odd"), enter=("load",), exit=("size",)) == {}


@pytest.mark.parametrize(
    ("spec", "at", "says"),
    [
        ({"methods": ("ran",)}, "methods/0", "has no method ran; it has load, warm, run, size. Did you mean run?"),
        ({"enter": ("load", "lode")}, "enter/1", "Did you mean load?"),
        ({"enter": ("warm",)}, "enter/0", "is called without arguments: give a default to times"),
        ({"exit": ("warm",)}, "exit/0", "is called without arguments"),
        ({"enter": ("each",)}, "enter/0", "is a generator; a hook is called once"),
        ({"methods": ("Inner",)}, "methods/0", "is a class, not a method"),
        ({"parameters": ["model", "depth"]}, "parameters/1/name", "__init__ takes no depth"),
        ({"parameters": ["width"]}, "parameters", "__init__ needs model, which parameters does not name"),
        ({"entrypoint": "main:f"}, "kind", "is a function, not a class"),
        ({"batched": True, "methods": ("size",)}, "batching", "Model.size takes no argument; a batched function takes"),
        ({"scheduled": True}, "schedule", "must do without arguments: give a default to text"),
    ],
)
def test_a_class_that_lacks_something_is_refused(spec: dict[str, Any], at: str, says: str) -> None:
    errors = problems(**spec)
    assert says in errors[at], errors


def test_all_that_a_class_lacks_is_told_at_once() -> None:
    assert set(problems(methods=("ran", "sizes"), enter=("warm",))) == {"methods/0", "methods/1", "enter/0"}


@pytest.mark.parametrize(
    "source",
    [
        "class Model(Base): pass",
        "class Model(metaclass=M): pass",
        "class Model:\n    def __getattr__(self, name): pass",
        "@dataclass\nclass Model:\n    model: str",
        "class Model:\n    for name in names: locals()[name] = 1",
        "Model = make()",
    ],
)
def test_nothing_is_claimed_of_what_cannot_be_seen(source: str) -> None:
    assert problems(source, methods=("anything",), enter=("something",)) == {}


# ------------------------------------------------------------------ calls


def aimed(method: str | None = "run", given: Mapping[str, object] | None = None, spec: ClassSpec | None = SPEC) -> Any:
    return aim(spec, "fu-1", "a:Model", method, given or {})


def misaimed(method: str | None = "run", given: Mapping[str, object] | None = None, **more: Any) -> dict[str, str]:
    with pytest.raises(Misaimed) as caught:
        aimed(method, given, **more)
    return {error.pointer: error.message for error in caught.value.errors}


def test_a_call_has_every_parameter_in_one_order() -> None:
    target = aimed("size", {"width": 7})
    assert (target.method, target.parameters_json) == ("size", '{"deep":false,"model":"small","salt":"","width":7}')
    assert target.queue == queue_of("fu-1", target.parameters_json)


def test_defaults_that_are_said_and_those_that_are_not_are_the_same() -> None:
    assert aimed("run", {"model": "small", "width": 3.0}) == aimed("run") == aimed("run", {"width": 3})
    assert aimed("run").parameters_json == SPEC.defaults_json


def test_a_class_with_one_method_may_be_called_without() -> None:
    spec = ClassSpec(("run",))
    target = aimed(None, spec=spec)
    assert (target.method, target.queue, target.parameters_json) == ("run", "fu-1", None)


@pytest.mark.parametrize(
    ("method", "given_", "at", "says"),
    [
        (None, {}, "/method", "is missing: a:Model has run, size"),
        ("ran", {}, "/method", 'has no method "ran"; it has run, size. Did you mean run?'),
        ("run", {"modle": "x"}, "/parameters/modle", "Did you mean model?"),
        ("run", {"model": 3}, "/parameters/model", "must be a string, got 3"),
        ("run", {"model": None}, "/parameters/model", "must be a string, got null"),
        ("run", {"width": "3"}, "/parameters/width", "must be a whole number"),
        ("run", {"width": True}, "/parameters/width", "must be a whole number"),
        ("run", {"width": 1 << 64}, "/parameters/width", "must fit into 64 bits"),
        ("run", {"deep": 1}, "/parameters/deep", "must be true or false"),
        ("run", {"salt": "not base64"}, "/parameters/salt", "base64"),
        ("run", {"a/b": "x"}, "/parameters/a~1b", "has no parameter"),
        ("run", {"model": "x" * PARAMETERS_BYTES}, "/parameters", "at most 16 KiB in all"),
    ],
)
def test_a_call_that_does_not_fit_is_named(
    method: str | None, given_: Mapping[str, object], at: str, says: str
) -> None:
    errors = misaimed(method, given_)
    assert says in errors[at], errors


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    assert set(misaimed("ran", {"modle": 1, "width": "x"})) == {"/method", "/parameters/modle", "/parameters/width"}


def test_a_parameter_without_default_must_be_given() -> None:
    spec = ClassSpec(("run",), parameters=(Parameter(name="model", type="str"),))
    assert "is missing" in misaimed("run", spec=spec)["/parameters/model"]
    assert spec.defaults_json is None
    assert aimed("run", {"model": "x"}, spec).parameters_json == '{"model":"x"}'


def test_a_function_takes_neither_method_nor_parameters() -> None:
    assert set(misaimed("run", {"model": "x"}, spec=None)) == {"/method", "/parameters"}
    assert aimed(None, spec=None) is None


VALUES = st.fixed_dictionaries(
    {"model": st.text(max_size=20), "width": st.integers(-(2**63), 2**63 - 1), "deep": st.booleans()}
)


@given(VALUES, VALUES)
def test_two_combinations_share_a_queue_only_if_they_are_the_same(
    one_: Mapping[str, object], other: Mapping[str, object]
) -> None:
    assert (aimed("run", one_).queue == aimed("run", other).queue) == (one_ == other)


def test_texts_are_read_by_the_types_of_parameters() -> None:
    texts = {"model": "3", "width": "3", "deep": "true", "salt": "YQ==", "other": "1"}
    assert read_texts(SPEC, texts) == {"model": "3", "width": 3, "deep": True, "salt": "YQ==", "other": "1"}
    assert read_texts(SPEC, {"width": "3.5", "deep": "yes"}) == {"width": "3.5", "deep": "yes"}
    assert read_texts(None, {"model": "3"}) == {"model": "3"}


def test_the_floor_is_for_calls_that_give_no_parameters() -> None:
    live = LiveFunction("fu-1", "ap-1", "main", "a", "Model", 1, "main:Model", None, Scaling(min_containers=2),
                        of_class=SPEC)  # fmt: skip
    assert live.is_family
    assert not live.of(SPEC.defaults_json).is_family
    assert live.of(SPEC.defaults_json).scaling.min_containers == 2
    assert live.of('{"model":"large"}').scaling.min_containers == 0
    assert live.usual_queue == live.of(SPEC.defaults_json).queue != live.queue


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PARAMETER = st.fixed_dictionaries(
    {}, optional={"name": ANYTHING, "type": ANYTHING | st.sampled_from(["str", "int", "bytes"]), "default": ANYTHING}
)


@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["function", "class"]) | ANYTHING},
        optional={
            "methods": ANYTHING,
            "enter": ANYTHING,
            "parameters": ANYTHING | st.lists(PARAMETER, max_size=3),
            "min_containers": st.integers(0, 2),
            "schedule": st.just({"cron": "* * * * *"}),
        },
    )
)
def test_whatever_is_sent_is_taken_or_refused(more: dict[str, Any]) -> None:
    with suppress(Invalid):
        found = parse_definition({"entrypoint": "main:Model"} | more)
        assert (found.of_class is not None) == (more["kind"] == "class")


@given(st.dictionaries(st.sampled_from(["model", "width", "deep", "salt", "other"]), ANYTHING), ANYTHING)
def test_whatever_is_called_for_is_aimed_or_refused(given_: dict[str, object], method: object) -> None:
    with suppress(Misaimed):
        target = aimed(method if isinstance(method, str) else None, given_)
        assert target.queue.startswith("fu-1.")
