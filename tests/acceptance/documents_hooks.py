"""Loaded by schemathesis: keeps the machine that runs the tests usable."""

from typing import Any

import schemathesis

FEW = 2
"""Containers that a made-up definition or override may keep."""

KEEPING = ("min_containers", "buffer_containers")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Ask for few containers where many were made up: the rules for 2 and for 900 are the same."""
    if isinstance(case.body, dict):
        functions = case.body.get("functions")
        for body in (case.body, *(functions.values() if isinstance(functions, dict) else ())):
            _keep_few(body)


def _keep_few(body: object) -> None:
    if isinstance(body, dict):
        for key in KEEPING:
            if type(body.get(key)) in {int, float} and FEW < body[key] <= 1000:
                body[key] = FEW
