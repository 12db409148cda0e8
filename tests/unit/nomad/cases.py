"""Functions and settings for tests of the Nomad engine."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.web import Kind, Web
from yurt.outbound.engines.nomad import NomadSettings
from yurt.outbound.engines.nomad.spec import spec_of

GOLDEN = Path(__file__).parent / "golden"


def settings(**changes: Any) -> NomadSettings:
    """Of an installation with everything at its default; `token` may be the token itself."""
    if isinstance(changes.get("token"), str):
        changes["token"] = partial(str, changes["token"])
    fields: dict[str, Any] = {
        "installation": "0123abcd",
        "public_url": "http://yurt.example:7600",
        "runner_sha256": "f" * 64,
    }
    return NomadSettings(**fields | changes)


def function(**changes: Any) -> LiveFunction:
    """A function in an image."""
    fields: dict[str, Any] = {
        "function_id": "fu-1",
        "app_id": "ap-1",
        "environment": "main",
        "app": "thumbs",
        "name": "resize",
        "revision": 3,
        "entrypoint": "main:resize",
        "source_bundle": None,
        "scaling": Scaling(),
        "image": "registry.example/thumbs:7",
    }
    return LiveFunction(**fields | changes)


CASES = {
    "docker": (function(), settings()),
    "raw_exec": (function(image=None, cpu=2.5, memory_mib=1024), settings(driver="raw_exec", user="nobody")),
    "gpus": (
        function(gpu=("H100:2", "A100:2")),
        settings(gpu_models={"NVIDIA H100 64GB": "H100", "NVIDIA A40": "A10"}, region="north", namespace="ml"),
    ),
    "web": (
        function(image=None, web=Web(Kind.ASGI, "resize--thumbs")),
        settings(driver="raw_exec", finds_servers=True),
    ),
    "web_docker": (
        function(web=Web(Kind.WEB_SERVER, "resize--thumbs", port=8000)),
        settings(finds_servers=True),
    ),
}
"""What the golden files show, and what the real Nomad takes."""


def golden(name: str) -> str:
    """What the golden file of a case holds."""
    return json.dumps(spec_of(*CASES[name]), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"{case}.json").write_text(golden(case))
