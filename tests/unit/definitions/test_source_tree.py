import contextlib
import re
import sys
import threading

import pytest

from yurt.domain.modules import Shape, SourceError, parse_module
from yurt.domain.source_tree import MAX_MODULE_BYTES, SourceTree


def no_file(path: str) -> bytes:
    raise AssertionError(f"{path} was read")


def tree(**files: str) -> SourceTree:
    """A tree of files: `__` in a name stands for `/`, and each is Python."""
    named = {name.replace("__", "/") + ".py": text.encode() for name, text in files.items()}
    return SourceTree({path: len(text) for path, text in named.items()}, named.__getitem__)


def refusal(source: SourceTree, entrypoint: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source.check(entrypoint)
    return caught.value


def test_a_plain_function_passes() -> None:
    tree(main="def resize(x): return x").check("main:resize")
    tree(main="async def resize(x): return x").check("main:resize")
    tree(pkg__images="def resize(x): return x").check("pkg.images:resize")


def test_a_package_is_its_init_file() -> None:
    files = {"pkg/__init__.py": b"def f(): pass"}
    SourceTree({"pkg/__init__.py": 13}, files.__getitem__).check("pkg:f")


def test_a_missing_module_is_answered_with_those_there_are() -> None:
    message = refusal(tree(main="", utils__text=""), "mian:f").message
    assert message == "the source has no module mian; it has main, utils.text. Did you mean main?"
    assert "nor any other .py file" in refusal(SourceTree({"a.txt": 1}, no_file), "main:f").message


def test_a_missing_name_is_answered_with_what_is_defined() -> None:
    message = refusal(tree(main="import os\nX = 1\ndef resize(): pass\ndef crop(): pass"), "main:resise").message
    assert message == "main defines no resise; it defines resize, crop. Did you mean resize?"
    assert "defines nothing" in refusal(tree(main=""), "main:f").message
    assert "it defines X" in refusal(tree(main="X = 1"), "main:f").message


def test_a_long_list_of_names_is_cut() -> None:
    many = "\n".join(f"def f{n}(): pass" for n in range(30))
    assert "and 18 more" in refusal(tree(main=many), "main:zzzz").message


def test_a_syntax_error_is_told_with_file_and_line() -> None:
    error = refusal(tree(main="x = 1\ndef f(:\n"), "main:f")
    assert error.message.startswith("main.py:2: invalid syntax (read as Python 3.")
    assert error.path == "main.py"


@pytest.mark.parametrize(
    ("python", "judged"),
    [(sys.version_info[:2], True), ((3, 9), True), ((3, sys.version_info[1] + 1), False), (None, False)],
)
def test_a_newer_interpreter_may_understand_what_this_one_does_not(
    python: tuple[int, int] | None, *, judged: bool
) -> None:
    text = b"def f(:\n"
    source = SourceTree({"main.py": len(text)}, lambda _: text, python)
    if judged:
        with pytest.raises(SourceError, match="invalid syntax"):
            source.check("main:f")
    else:
        source.check("main:f")


def test_bytes_that_are_no_text_are_told() -> None:
    for text in (b"x = '\xff'", b"x\0", b"# -*- coding: klingon -*-\n"):
        with pytest.raises(SourceError, match=r"main\.py"):
            parse_module(text, "main.py")


@pytest.mark.parametrize(
    "text",
    [
        "from other import *",
        "def __getattr__(name): return print",
        "globals()['f'] = print",
        "def make():\n    global f\n    f = 1\nmake()",
        "import sys\nsys.modules[__name__].f = print",
        "if x:\n    def f(): pass",
        "try:\n    from fast import f\nexcept ImportError:\n    f = None",
        "import functools\n@functools.cache\ndef f(): yield",
        "f = lambda: 1",
        "for f in []: pass",
        "with open() as f: pass",
        "import f",
        "from a import b as f",
        "import f.x",
        "(f := 1)",
        "match 1:\n    case f: pass",
        "def f(): yield\nf = print",
        "class f: pass\nf = f()",
        "a, *f = [1]",
        "f: int = 1",
    ],
)
def test_where_the_tree_cannot_tell_it_is_silent(text: str) -> None:
    tree(main=text).check("main:f")


def test_a_class_is_no_function() -> None:
    error = refusal(tree(main="class f: pass"), "main:f")
    assert error.key == ("kind",)
    assert 'send kind "class"' in error.message


@pytest.mark.parametrize(
    "text", ["def f():\n    def g(): yield\n    return g", "def f():\n    class A:\n        def g(self): yield"]
)
def test_a_yield_of_an_inner_function_makes_no_generator(text: str) -> None:
    assert not tree(main=text).is_generator("main:f")


@pytest.mark.parametrize(
    "text",
    ["def f():\n    yield 1", "async def f():\n    for x in y:\n        yield x", "def f():\n    x = yield from y"],
)
def test_generators_are_known_by_their_own_yields(text: str) -> None:
    found = tree(main=text)
    found.check("main:f")
    assert found.is_generator("main:f")


def test_a_decorated_generator_is_left_to_the_runner() -> None:
    assert not tree(main="@wrap\ndef f():\n    yield 1").is_generator("main:f")


def test_names_inside_functions_are_not_names_of_the_module() -> None:
    assert "defines no g" in refusal(tree(main="def f():\n    g = 1\n    def g(): pass"), "main:g").message


def test_bindings_tell_shape_and_required_arguments() -> None:
    text = (
        b"async def f(a, b, /, c, d=1, *args, e, g=2, **kw): pass\ndef _h(): pass\ndef gen(): yield\ndef plain(): pass"
    )
    module = parse_module(text, "main.py")
    assert module is not None
    found = module.bindings["f"]
    assert (found.shape, found.required, found.line) == (Shape.FUNCTION, ("a", "b", "c", "e"), 1)
    assert [module.bindings[name].shape for name in ("_h", "gen")] == [Shape.FUNCTION, Shape.GENERATOR]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(xs): yield", "is a generator"),
        ("def f(): return []", "takes no argument"),
        ("async def f(xs, *more, **rest): return xs", "takes *more, **rest; a batched function must name each"),
    ],
)
def test_what_cannot_be_batched_is_told_of_the_key(text: str, says: str) -> None:
    with pytest.raises(SourceError, match=re.escape(says)) as caught:
        tree(main=text).check_batched("main:f")
    assert caught.value.key == ("batching",)


@pytest.mark.parametrize(
    "text",
    [
        "def f(xs, n=1): return xs",
        "def f(*, xs): return xs",
        "@wrap\ndef f(): pass",
        "class f: pass",
        "from x import *",
    ],
)
def test_what_may_be_batched_passes(text: str) -> None:
    tree(main=text).check_batched("main:f")


def test_compiled_and_huge_modules_are_left_to_the_runner() -> None:
    SourceTree({"main.cpython-311-x86_64-linux-gnu.so": 5}, no_file).check("main:f")
    SourceTree({"main.py": MAX_MODULE_BYTES + 1}, no_file).check("main:f")


@pytest.mark.parametrize("text", ["(" * 5000 + ")" * 5000, "-" * 50_000 + "1", "x" + ".a" * 50_000, "[" * 150])
def test_hostile_nesting_never_breaks_the_parser(text: str) -> None:
    ended = threading.Event()

    def run() -> None:
        with contextlib.suppress(SourceError):
            parse_module(text.encode(), "main.py")
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended.is_set()


def test_odd_escapes_do_not_make_a_module_wrong() -> None:
    tree(main="def f(): return '\\d'").check("main:f")


def test_a_module_is_parsed_once() -> None:
    reads = []

    def read(path: str) -> bytes:
        reads.append(path)
        return b"def f(): pass\ndef g(): pass"

    source = SourceTree({"main.py": 30}, read)
    source.check("main:f")
    source.check("main:g")
    assert reads == ["main.py"]
