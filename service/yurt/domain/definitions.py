"""The definition of a function, as callers send it: read, checked, and completed with defaults.

Where a limit has no source beside it, it is Modal's, as the REST reference adopts it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from yurt.domain import gpu, requirements, sharing
from yurt.domain.bundle import path_problem, tree_problem
from yurt.domain.classes import ClassSpec, Names, Parameters, class_errors
from yurt.domain.errors import FieldError, Invalid, NotSupported
from yurt.domain.naming import IMAGE_PATTERN, NAME_PATTERN, did_you_mean, name_problem, pointer, shown
from yurt.domain.retry import RetryPolicy
from yurt.domain.schedules import SCHEDULE_SCHEMA, ScheduleSpec
from yurt.domain.sharing import Batching, Concurrency
from yurt.domain.validation import broken_key, broken_rule, field_errors, type_name, whole
from yurt.domain.variables import ENV_BYTES, size_bytes, variable_problem
from yurt.domain.web import ENDPOINT_SCHEMA, SERVERS, Endpoint, Kind, Label, Port, read_kind, web_errors

INLINE_SOURCE_BYTES = 1 << 20
"""Paths and contents of inline files together; more travels as a bundle."""

MAX_SECRETS = 16
"""Each has 64 KiB at most, so that all of them leave room in the arguments and environment of a process."""

MAX_CONTAINERS = 1000
"""A bound against slips of the finger."""

MAX_GPU_CHOICES = 16

ENTRYPOINT_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"

MAX_RETRIES = 10

_ENTRYPOINT = re.compile(ENTRYPOINT_PATTERN[:-1] + r"\Z")


def _entrypoint(text: str) -> str:
    if not _ENTRYPOINT.match(text):
        raise broken_rule(f"must be module:name, as in main:resize, got {shown(text)}")
    return text


def _env_name(name: str) -> str:
    if problem := variable_problem(name):
        raise broken_key(problem)
    return name


def _env_value(value: str) -> str:
    if "\0" in value:
        raise broken_rule("the value of a variable must not contain NUL")
    return value


def _env(env: dict[str, str]) -> dict[str, str]:
    size = size_bytes(env)
    if size > ENV_BYTES:
        raise broken_rule(f"must be at most {ENV_BYTES >> 10} KiB in all, is {size} bytes")
    return env


def _secrets(names: list[str]) -> list[str]:
    if len(names) > MAX_SECRETS:
        raise broken_rule(f"must name at most {MAX_SECRETS} secrets, names {len(names)}")
    for place, name in enumerate(names):
        if problem := name_problem(name):
            raise broken_rule(problem.removesuffix("."), place)
        if name in names[:place]:
            raise broken_rule(f"names {name} twice", place)
    return names


def _requirement(text: str) -> str:
    if problem := requirements.problem(text):
        raise broken_rule(problem)
    return text


def _file_path(path: str) -> str:
    problem = path_problem(path)
    if problem:
        raise broken_key(problem)
    return path


def _file_text(text: str) -> str:
    if "\0" in text:
        raise broken_rule(
            "must be text, without NUL; upload binary files in a zip archive with PUT /v1/bundles/{sha256}"
        )
    return text


def _files(files: dict[str, str]) -> dict[str, str]:
    size = sum(len(path.encode()) + len(text.encode()) for path, text in files.items())
    if size > INLINE_SOURCE_BYTES:
        raise broken_rule(
            f"inline files must be at most 1 MiB in all, are {size} bytes; upload a zip archive with "
            "PUT /v1/bundles/{sha256} and name it by bundle"
        )
    clash = tree_problem(files)
    if clash:
        raise broken_rule(clash)
    return files


def _gpu(value: object) -> object:
    """Any accepted form as a tuple of canonical names, in order of preference."""
    match value:
        case None:
            return ()
        case str():
            return (_one_gpu(value),)
        case list() if 0 < len(value) <= MAX_GPU_CHOICES:
            return tuple(_one_gpu(choice, at) for at, choice in enumerate(value))
        case tuple():
            return value
        case _:
            raise broken_rule(
                f"must be a type such as H100 or H100:2, or a list of 1 to {MAX_GPU_CHOICES} of them, "
                f"got {'an empty list' if value == [] else type_name(value)}"
            )


def _one_gpu(choice: object, *at: int) -> str:
    if not isinstance(choice, str):
        raise broken_rule(f"must be a type such as H100 or H100:2, got {type_name(choice)}", *at)
    try:
        return gpu.canonical(choice)
    except ValueError as error:
        raise broken_rule(str(error), *at) from error


def _retries(value: object) -> object:
    """A number as the policy that it stands for: so many retries, each after 1 s."""
    value = whole(value)
    if isinstance(value, dict | Retries):
        return value
    if type(value) is not int:
        raise broken_rule(f"must be a number of retries, or a policy with max_retries, got {type_name(value)}")
    if not 0 <= value <= MAX_RETRIES:
        raise broken_rule(_RETRIES_END + f", got {value}")
    return {"max_retries": value, "backoff_coefficient": 1.0}


def _max_retries(value: object) -> object:
    value = whole(value)
    if type(value) is not int or not 0 <= value <= MAX_RETRIES:
        raise broken_rule(_RETRIES_END + f", got {type_name(value)}")
    return value


_RETRIES_END = f"must be a whole number from 0 to {MAX_RETRIES}: retries have to end"
_NUMBER_OF_RETRIES = {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES}
_RETRIES_SCHEMA = {
    "anyOf": [
        _NUMBER_OF_RETRIES,
        {
            "type": "object",
            "required": ["max_retries"],
            "additionalProperties": False,
            "properties": {
                "max_retries": _NUMBER_OF_RETRIES,
                "initial_delay": {"type": "number", "minimum": 0, "maximum": 60, "default": 1.0},
                "backoff_coefficient": {"type": "number", "minimum": 1, "maximum": 10, "default": 2.0},
                "max_delay": {"type": "number", "minimum": 1, "maximum": 60, "default": 60},
            },
        },
    ],
    "default": 0,
    "description": "Attempts after the first one, for inputs whose function raised, crashed or ran over its timeout. "
    "A number: each after 1 s. A policy: the delay, in seconds, grows by the coefficient up to `max_delay`.",
    "examples": [3, {"max_retries": 3, "initial_delay": 1.0, "backoff_coefficient": 2.0, "max_delay": 60}],
}
_GPU_NAME = {"type": "string", "pattern": gpu.PATTERN}
_GPU_SCHEMA = {
    "anyOf": [
        _GPU_NAME,
        {"type": "array", "items": _GPU_NAME, "minItems": 1, "maxItems": MAX_GPU_CHOICES},
        {"type": "null"},
    ],
    "description": "`TYPE` or `TYPE:n` (n 1 to 8) in any letter case, or a list in order of preference. Types: "
    + ", ".join(gpu.TYPES)
    + ".",
    "examples": ["H100:2", ["H100", "A100-80GB"]],
}

Seconds: TypeAlias = Annotated[int, Field(ge=1, le=86_400), BeforeValidator(whole)]
Secrets: TypeAlias = Annotated[
    list[Annotated[str, WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})]], AfterValidator(_secrets)
]
Requirements: TypeAlias = Annotated[
    list[Annotated[str, AfterValidator(_requirement)]], Field(max_length=requirements.MAX_REQUIREMENTS)
]
Mebibytes: TypeAlias = Annotated[int, Field(ge=32, le=1 << 20), BeforeValidator(whole)]
Containers: TypeAlias = Annotated[int, Field(ge=0, le=MAX_CONTAINERS), BeforeValidator(whole)]
Window: TypeAlias = Annotated[int, Field(ge=2, le=1200), BeforeValidator(whole)]
EnvName: TypeAlias = Annotated[str, AfterValidator(_env_name)]
EnvValue: TypeAlias = Annotated[str, AfterValidator(_env_value)]
FilePath: TypeAlias = Annotated[str, AfterValidator(_file_path)]
FileText: TypeAlias = Annotated[str, AfterValidator(_file_text)]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Image: TypeAlias = Annotated[str, StringConstraints(pattern=IMAGE_PATTERN)]
Files: TypeAlias = Annotated[dict[FilePath, FileText], Field(min_length=1), AfterValidator(_files)]
Shared: TypeAlias = Annotated[
    Concurrency, BeforeValidator(sharing.concurrency), WithJsonSchema(sharing.CONCURRENCY_SCHEMA)
]
Gpus: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_gpu), WithJsonSchema(_GPU_SCHEMA)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Source(_Strict):
    """Where the code is: inline files, or a bundle that was uploaded before."""

    files: Files | None = Field(
        None, description="Text files by their relative POSIX paths, at most 1 MiB in all.", examples=[{"main.py": "…"}]
    )
    bundle: Sha256 | None = Field(None, description="The sha256 (hex) of a zip archive uploaded to this environment.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "Source":
        if (self.files is None) == (self.bundle is None):
            raise broken_rule("must have either files or bundle")
        return self


class Retries(_Strict):
    """Which failed attempts are made again: how many, and after which delays in seconds."""

    max_retries: Annotated[int, BeforeValidator(_max_retries)]
    initial_delay: float = Field(1.0, ge=0, le=60)
    backoff_coefficient: float = Field(2.0, ge=1, le=10)
    max_delay: float = Field(60.0, ge=1, le=60)

    def policy(self) -> RetryPolicy:
        """What the pools go by."""
        return RetryPolicy(self.max_retries, self.initial_delay, self.backoff_coefficient, self.max_delay)


_NO_RETRIES = Retries(max_retries=0, backoff_coefficient=1.0)


class FunctionDefinition(_Strict):
    """What a function is. Absent keys have the defaults shown; units are seconds, MiB and cores."""

    entrypoint: Annotated[str, AfterValidator(_entrypoint), Field(max_length=255)] = Field(
        description="`module:name` of the callable.", json_schema_extra={"pattern": ENTRYPOINT_PATTERN}
    )
    source: Source | None = Field(None, description="The code; absent where the image holds it.")
    image: Image | None = Field(
        None, description="A registry reference. The local engine ignores it and answers with a warning."
    )
    gpu: Gpus = ()
    cpu: float = Field(0.125, ge=0.01, le=256, description="Cores that a container asks for.")
    memory: Mebibytes = Field(512, description="The limit of a container in MiB.")
    timeout: Seconds = Field(300, description="The limit of one attempt's user code in seconds.")
    startup_timeout: Seconds = Field(300, description="The limit from a container's start to readiness in seconds.")
    retries: Annotated[Retries, BeforeValidator(_retries), WithJsonSchema(_RETRIES_SCHEMA)] = _NO_RETRIES
    min_containers: Containers = Field(0, description="Containers kept warm always.")
    max_containers: Containers | None = Field(
        None, description="Never more containers than this; 0 pauses. Absent: the server's setting."
    )
    buffer_containers: Containers = Field(
        0, description="Idle containers kept beyond need while the function is active."
    )
    scaledown_window: Window = Field(60, description="Seconds for which an idle container is kept.")
    env: Annotated[dict[EnvName, EnvValue], AfterValidator(_env)] = Field(
        default_factory=dict, description="Environment variables, 64 KiB in all; names beginning with `YURT_` are ours."
    )
    secrets: Secrets = Field(
        default_factory=list,
        description="Names of secrets of the environment, whose values become environment variables. Later ones win "
        "over earlier ones, and `env` over all of them.",
        json_schema_extra={"maxItems": MAX_SECRETS, "uniqueItems": True},
        examples=[["openai"]],
    )
    requirements: Requirements = Field(
        default_factory=list,
        description="Packages of an index, as in PEP 508, that the containers have beside the standard library. One "
        "environment is made for each list and shared by the functions that have it. No options, files or addresses.",
        examples=[["pillow==11.*", "httpx[http2]>=0.28"]],
    )
    concurrency: Shared = Concurrency()
    batching: Annotated[Batching | None, WithJsonSchema(sharing.BATCHING_SCHEMA)] = None
    may_call: Annotated[list[Literal["self_app"]], Field(max_length=1)] = Field(
        default_factory=list,
        description='`["self_app"]`: containers have `YURT_URL` and `YURT_TOKEN`, with which they can call functions '
        "of their own app, and nothing else.",
    )
    single_use_containers: bool = Field(default=False, description="Each container runs one input and ends.")
    schedule: Annotated[ScheduleSpec | None, WithJsonSchema(SCHEDULE_SCHEMA)] = None
    kind: Annotated[Kind, BeforeValidator(read_kind), WithJsonSchema({"enum": [*Kind], "default": "function"})] = Field(
        Kind.FUNCTION,
        description="What the entrypoint is: a `function` to call, a `class` with methods to call, an `asgi` or a "
        "`wsgi` app, or a function that starts a `web_server`.",
    )
    factory: bool = Field(
        default=False, description="Of `asgi` and `wsgi`: the entrypoint is a function that returns the app."
    )
    port: Annotated[Port | None, BeforeValidator(whole)] = Field(
        None,
        description="Of `web_server`: where it listens. Absent: it is told a free port in the variable `PORT`.",
    )
    web: Annotated[Endpoint | None, WithJsonSchema(ENDPOINT_SCHEMA)] = Field(
        None, description="Of a plain function: it is called by HTTP, not by invocations.", examples=[{"method": "GET"}]
    )
    label: Label | None = Field(
        None,
        description="The name in the URL of a function that answers HTTP; absent: `<function>--<app>`. What is not of "
        "`a-z`, `0-9` and `-` becomes `-`; above 50 characters, or taken, it is cut and gets 6 characters of a hash.",
    )
    requires_auth: bool = Field(
        default=False, description="Of functions that answer HTTP: callers need a token with the role `invoke`."
    )

    @property
    def answers_http(self) -> bool:
        """Whether it is called by HTTP, and not by invocations."""
        return self.kind in SERVERS or self.web is not None

    methods: Names = Field(default_factory=list, description="Of a class: what can be called.", examples=[["embed"]])
    enter: Names = Field(
        default_factory=list, description="Of a class: methods that are called, in this order, before the first input."
    )
    exit: Names = Field(
        default_factory=list, description="Of a class: methods that are called, in this order, when the container ends."
    )
    parameters: Parameters = Field(
        default_factory=list,
        description="Of a class: what its objects are made with. Each combination of values has containers of its own.",
        examples=[[{"name": "model", "type": "str", "default": "small"}]],
    )

    @property
    def of_class(self) -> ClassSpec | None:
        """What makes it a class, or None."""
        if self.kind is not Kind.CLASS:
            return None
        return ClassSpec(tuple(self.methods), tuple(self.enter), tuple(self.exit), tuple(self.parameters))


_CALL_OPTIONS = ("priority", "delay", "queue_timeout", "callback_url", "metadata")
"""What belongs beside a call's arguments, and is easily taken for a key of a definition."""


def parse_definition(value: object, *, at: tuple[str | int, ...] = (), default_max: int = 10) -> FunctionDefinition:
    """Read a definition and check all that it says by itself.

    Args:
        value: the decoded JSON.
        at: where it stands in the body, so that pointers lead there.
        default_max: the server's `max_containers`, for definitions that name none.

    Raises:
        Invalid: its errors name every bad field at once.
    """
    found = check_definition(value, at=at, default_max=default_max)
    if isinstance(found, FunctionDefinition):
        return found
    raise refusal(found)


def check_definition(
    value: object, *, at: tuple[str | int, ...], default_max: int
) -> FunctionDefinition | list[FieldError]:
    """As `parse_definition`, but what is wrong is returned: for callers that have more to find."""
    problem = None if isinstance(value, dict) else f"must be a definition, an object, got {type_name(value)}"
    problem = problem or _text_problem(value)
    if problem or not isinstance(value, dict):
        return [FieldError(pointer(*at), problem or "")]
    errors = [_unknown(key, at) for key in value if key not in FunctionDefinition.model_fields]
    try:
        definition = FunctionDefinition.model_validate({key: value[key] for key in _model_keys(value)})
    except ValidationError as error:
        return errors + field_errors(error, FunctionDefinition, at) + _crossed(value, at, default_max)
    errors += _crossed(value, at, default_max)
    return errors or definition


def parse_stored(text: str) -> FunctionDefinition:
    """Read the JSON of a definition that was accepted when it was stored."""
    value = json.loads(text)
    return FunctionDefinition.model_validate({key: value[key] for key in _model_keys(value)})


def _model_keys(value: Mapping[str, Any]) -> list[str]:
    return [key for key in value if key in FunctionDefinition.model_fields]


def refusal(errors: Sequence[FieldError]) -> Invalid:
    """The error to raise for what is wrong with one definition or several."""
    first = f"{errors[0].pointer}: {errors[0].message}" if errors[0].pointer else f"The body {errors[0].message}"
    first += "" if first.endswith((".", "?")) else "."
    more = "" if len(errors) == 1 else f" And {len(errors) - 1} more: see errors."
    kind = NotSupported if all(error.code == "not_supported" for error in errors) else Invalid
    return kind(first + more, errors=errors)


def definition_schema() -> dict[str, Any]:
    """JSON Schema of what `parse_definition` accepts, without references out of itself."""
    schema = FunctionDefinition.model_json_schema()
    definitions = schema.pop("$defs")
    source = definitions["Source"]["properties"]
    schema["properties"]["parameters"]["items"] = definitions["Parameter"]
    either = [_source_schema(source, "files", "bundle"), _source_schema(source, "bundle", "files")]
    schema["properties"]["source"]["anyOf"] = [*either, {"type": "null"}]
    return schema


def _source_schema(properties: Mapping[str, Any], present: str, absent: str) -> dict[str, Any]:
    value = {**properties[present]["anyOf"][0], "description": properties[present]["description"]}
    both = {present: value, absent: {"type": "null"}}
    return {"type": "object", "required": [present], "properties": both, "additionalProperties": False}


def changed_keys(one: FunctionDefinition, other: FunctionDefinition) -> list[str]:
    """The keys in which two definitions differ once defaults are filled in, `source` apart."""
    keys = (key for key in FunctionDefinition.model_fields if key != "source")
    return [key for key in keys if getattr(one, key) != getattr(other, key)]


def _unknown(key: str, at: tuple[str | int, ...]) -> FieldError:
    hint = did_you_mean(key, FunctionDefinition.model_fields)
    if key in _CALL_OPTIONS:
        hint = " It is an option of a call: send it beside args and kwargs."
    return FieldError(pointer(*at, key), f"unknown key {shown(key)}.{hint}", "unknown_key")


def _crossed(value: Mapping[str, Any], at: tuple[str | int, ...], default_max: int) -> list[FieldError]:
    """Rules between keys, on the raw values, so that they are found together with the rest."""
    errors = [*web_errors(value, at), *class_errors(value, at), *sharing.crossed(value, at)]
    low, high = value.get("min_containers", 0), value.get("max_containers")
    told = "max_containers" if high is not None else "the server's default of max_containers"
    low, high = whole(low), default_max if high is None else whole(high)
    if type(low) is int and type(high) is int and low > high:
        errors.append(FieldError(pointer(*at, "min_containers"), f"must not be above {told}: {low} > {high}"))
    return errors


def _text_problem(value: object) -> str | None:
    """Why `value` is not JSON that can be stored and answered again, or None."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "has text that is not Unicode: half of a surrogate pair"
    except ValueError:
        return "has a number that JSON does not know"
    except RecursionError:
        return "is nested too deeply"
    return None
