"""The parameters of paths: what each may look like, and what it is called."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from yurt.domain.errors import FieldError, Invalid, NotFound
from yurt.domain.naming import NAME_PATTERN, shown

_NAME = NAME_PATTERN.removeprefix("^").removesuffix("$")
_ULID = "[0-9a-hjkmnp-tv-z]{26}"
"""26 characters of Crockford's base32, see `yurt.domain.ids`."""

_SYNTAX = "1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or a digit"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Args:
        noun: what it is, in messages.
        syntax: what it looks like, in words.
        pattern: the same as a regular expression, anchored.
    """

    noun: str
    syntax: str
    pattern: str
    example: str


PARAMETERS: Mapping[str, Parameter] = {
    "name": Parameter("name", _SYNTAX, f"^{_NAME}$", "resize"),
    "environment": Parameter("environment", _SYNTAX, f"^{_NAME}$", "staging"),
    "app_id": Parameter("app", "an app's id or name", f"^{_NAME}$", "thumbs"),
    "function_id": Parameter("function", "a function's id, or app:function", f"^{_NAME}(:{_NAME})?$", "thumbs:resize"),
    "call_id": Parameter("call", "fc- and 26 characters", f"^fc-{_ULID}$", "fc-0000f3w5kd0015d9g7yhq2bncm"),
    "container_id": Parameter("container", "co- and 26 characters", f"^co-{_ULID}$", "co-01kag5vvn0c6c3xz2v1jqhd4rt"),
    "schedule_id": Parameter("schedule", "sc- and 26 characters", f"^sc-{_ULID}$", "sc-01kag5vvn0c6c3xz2v1jqhd4rt"),
    "token_id": Parameter("token", "tk- and 26 characters", f"^tk-{_ULID}$", "tk-01kag5vvn0c6c3xz2v1jqhd4rt"),
    "sha256": Parameter(
        "bundle",
        "64 hexadecimal digits in lower case",
        "^[0-9a-f]{64}$",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
}
"""By the name that stands in paths."""

_EXAMPLES = {"environments": "preview", "secrets": "openai"}
"""What is called `name` is of many kinds: an example by the collection that it is of."""

_COMPILED = {name: re.compile(parameter.pattern[:-1] + r"\Z") for name, parameter in PARAMETERS.items()}


def names_in(path: str) -> list[str]:
    """The parameters of a path template, in order."""
    return re.findall(r"{(\w+)}", path)


def example_in(path: str, name: str) -> str:
    """A value that the parameter `name` of a path template may have."""
    collection = path.partition(f"/{{{name}}}")[0].rpartition("/")[2]
    return _EXAMPLES.get(collection, PARAMETERS[name].example)


def fits(name: str, value: str) -> bool:
    """Whether `value` can be the parameter `name`."""
    return _COMPILED[name].match(value) is not None


def check(method: str, values: Mapping[str, str]) -> None:
    """Refuse what cannot be: handlers and the store never see it.

    Raises:
        Invalid: a PUT, which would make a thing of that name.
        NotFound: any other method.
    """
    for name, value in values.items():
        if fits(name, value):
            continue
        parameter = PARAMETERS[name]
        detail = f"{shown(value)} cannot be a {parameter.noun}: {parameter.syntax}."
        if method == "PUT":
            raise Invalid(detail, errors=[FieldError(f"{{{name}}}", f"must be {parameter.syntax}")])
        raise NotFound(detail)
