"""The pools, as the registry sees them: they write down what they are told."""

from dataclasses import dataclass, field

from yurt.domain.endings import Ending
from yurt.domain.functions import LiveFunction, Scaling


@dataclass
class FakeDeployments:
    """`yurt.ports.Deployments`.

    Args:
        told: what was called, in order, as (verb, function id, fact).
        running: containers by function id; a test sets it.
        failing: deploy errors by function id; a test sets it.
    """

    told: list[tuple[str, str, object]] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    failing: dict[str, Ending] = field(default_factory=dict)

    def deploy(self, function: LiveFunction) -> None:
        """Note the revision."""
        self.told.append(("deploy", function.function_id, function.revision))

    def rescale(self, function_id: str, scaling: Scaling) -> None:
        """Note the scaling."""
        self.told.append(("rescale", function_id, scaling))

    def retire(self, function_id: str, *, by: str) -> None:
        """Note the reason."""
        self.told.append(("retire", function_id, by))

    def containers_running(self, function_id: str) -> int:
        """What the test says."""
        return self.running.get(function_id, 0)

    def deploy_error(self, function_id: str) -> Ending | None:
        """What the test says."""
        return self.failing.get(function_id)
