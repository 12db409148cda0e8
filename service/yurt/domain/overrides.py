"""The live override of a function's autoscaler, and what scaling comes of default, definition and override."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from yurt.domain.batches import Batches
from yurt.domain.definitions import Containers, FunctionDefinition, Window
from yurt.domain.errors import FieldError
from yurt.domain.functions import Scaling

SCALING_KEYS = ("min_containers", "max_containers", "buffer_containers", "scaledown_window")


class Override(BaseModel):
    """What to override; an absent key leaves what was, null takes its override away."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    min_containers: Containers | None = Field(None, description="Containers kept warm always.")
    max_containers: Containers | None = Field(None, description="Never more containers than this; 0 pauses.")
    buffer_containers: Containers | None = Field(None, description="Idle containers kept beyond need.")
    scaledown_window: Window | None = Field(None, description="Seconds for which an idle container is kept.")
    sticky: Annotated[bool, Field(description="Keep the override over a redeploy.")] = False

    def patched(self, patch: "Override") -> "Override":
        """This override with the keys that `patch` was given."""
        return self.model_copy(update={key: getattr(patch, key) for key in patch.model_fields_set})

    @property
    def empty(self) -> bool:
        """Whether it overrides nothing."""
        return all(getattr(self, key) is None for key in SCALING_KEYS)


def defined_scaling(definition: FunctionDefinition, default_max: int) -> Scaling:
    """The scaling of a definition, completed with defaults.

    Args:
        definition: as deployed.
        default_max: the server's `max_containers`; it may have been lowered since the definition was accepted.
    """
    most = definition.max_containers
    return Scaling(
        min_containers=definition.min_containers,
        max_containers=most if most is not None else max(default_max, definition.min_containers),
        buffer_containers=definition.buffer_containers,
        scaledown_window_s=definition.scaledown_window,
    )


def defined_batches(definition: FunctionDefinition) -> Batches | None:
    """How the inputs of a definition are put together, or None where they are not."""
    batching = definition.batching
    return None if batching is None else Batches(batching.max_batch_size, batching.wait_ms / 1000)


def effective_scaling(defined: Scaling, override: Override | None) -> Scaling:
    """The scaling in force. A maximum below the minimum wins: a paused function has no container at all."""
    if override is None:
        return defined
    most = _first(override.max_containers, defined.max_containers)
    return Scaling(
        min_containers=min(_first(override.min_containers, defined.min_containers), most),
        max_containers=most,
        buffer_containers=_first(override.buffer_containers, defined.buffer_containers),
        scaledown_window_s=_first(override.scaledown_window, int(defined.scaledown_window_s)),
    )


def override_problem(defined: Scaling, override: Override) -> FieldError | None:
    """Why an override makes no sense beside what is defined, or None."""
    least = _first(override.min_containers, defined.min_containers)
    most = _first(override.max_containers, defined.max_containers)
    if most == 0 or least <= most:
        return None
    if override.max_containers is None:
        return FieldError("/min_containers", f"must not be above max_containers: {least} > {most}")
    return FieldError("/max_containers", f"must not be below min_containers: {most} < {least}; 0 pauses")


def _first(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given
