"""What the heart knows of a function: effective values, ready to use."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from yurt.domain.batches import Batches
from yurt.domain.classes import ClassSpec, queue_of
from yurt.domain.retry import NO_RETRIES, RetryPolicy
from yurt.domain.web import Web


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many containers a function may have.

    Args:
        min_containers: kept warm always.
        max_containers: never more; 0 means paused.
        buffer_containers: idle ones kept beyond need while the function is active.
        scaledown_window_s: how long an idle container is kept above the floor, in seconds.
    """

    min_containers: int = 0
    max_containers: int = 10
    buffer_containers: int = 0
    scaledown_window_s: float = 60


@dataclass(frozen=True, slots=True)
class LiveFunction:
    """One revision of a live function, as calls and containers need it.

    Args:
        source_bundle: sha256 of the zip archive with its source, or None.
        timeout_s: the limit of one attempt's user code, in seconds.
        startup_timeout_s: the limit from a container's start to `ready`, in seconds.
        memory_mib: the limit of a container, in MiB.
        cpu: the request of a container, in cores.
        secrets: names of secrets whose values are variables, the later winning; `env` wins over all of them.
        requirements: the packages of its containers, normalized; none for those of the interpreter.
        max_inputs: inputs, or batches, that one container runs at once.
        target_inputs: so many the autoscaler aims at; None: as many.
        batches: how inputs are put together, or None where each is a call of the function by itself.
        may_call: its containers may call functions of its app.
        retries: which failed attempts are made again, and when.
        web: how it answers HTTP; None for one that is called.
        scaling: the effective scaling: default, then definition, then override.
        of_class: its methods, hooks and parameters; None for a plain function.
        parameters_json: what the containers of this pool are made with, if it is one of a class with parameters.
    """

    function_id: str
    app_id: str
    environment: str
    app: str
    name: str
    revision: int
    entrypoint: str
    source_bundle: str | None
    scaling: Scaling
    timeout_s: float = 300
    startup_timeout_s: float = 300
    memory_mib: int = 512
    cpu: float = 0.125
    gpu: tuple[str, ...] = ()
    image: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    may_call: bool = False
    single_use_containers: bool = False
    max_inputs: int = 1
    target_inputs: int | None = None
    batches: Batches | None = None
    retries: RetryPolicy = NO_RETRIES
    of_class: ClassSpec | None = None
    parameters_json: str | None = None
    web: Web | None = None

    @property
    def slots(self) -> int:
        """Inputs that one container has room for."""
        return self.max_inputs if self.batches is None else self.max_inputs * self.batches.size

    @property
    def target(self) -> int:
        """Inputs that one container is meant to have."""
        aim = self.target_inputs or self.max_inputs
        return aim if self.batches is None else aim * self.batches.size

    @property
    def address(self) -> str:
        """`app:function`, as people write it."""
        return f"{self.app}:{self.name}"

    @property
    def queue(self) -> str:
        """The id of the queue that these containers serve."""
        return queue_of(self.function_id, self.parameters_json)

    @property
    def usual_queue(self) -> str:
        """The id of the queue of calls that give no parameters."""
        return queue_of(self.function_id, self.of_class.defaults_json if self.of_class is not None else None)

    @property
    def exits(self) -> bool:
        """Whether its containers have hooks to call when they end."""
        return self.of_class is not None and bool(self.of_class.exit)

    @property
    def is_family(self) -> bool:
        """Whether it stands for a class, of which each combination of parameters has containers.

        Itself it has some only for calls of a revision that had no parameters yet.
        """
        return self.of_class is not None and bool(self.of_class.parameters) and self.parameters_json is None

    @property
    def own_scaling(self) -> Scaling:
        """That of the pool of this function itself; what a class keeps warm is kept in the pool of its defaults."""
        return replace(self.scaling, min_containers=0) if self.is_family else self.scaling

    def of(self, parameters_json: str | None) -> "LiveFunction":
        """The same for the pool of these parameters. The floor is for the pool of calls that give none."""
        if parameters_json == self.parameters_json is None:
            return self
        floor = self.of_class is not None and parameters_json == self.of_class.defaults_json
        scaling = self.scaling if floor else replace(self.scaling, min_containers=0)
        return replace(self, parameters_json=parameters_json, scaling=scaling)
