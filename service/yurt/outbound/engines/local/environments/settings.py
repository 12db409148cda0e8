"""What is decided once about the environments of a server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """Where and how environments are made.

    Args:
        folder: they lie here. Programs must be able to run from it: `/run` often forbids that.
        variables: of the installers, beside what they need anyway: an index, proxies, certificates.
        timeout_s: what making one may take, in seconds.
        keep_s: how long one is kept that no container uses, in seconds.
    """

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 900
    keep_s: float = 7 * 86_400
