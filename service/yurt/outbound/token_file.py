"""The token of a cluster's ACLs, in a file of the operator's."""

from dataclasses import dataclass
from pathlib import Path

from yurt.ports import ClusterRefused


@dataclass(frozen=True, slots=True)
class TokenFile:
    """Gives the token as it is now: called before each request, since tokens are replaced.

    Args:
        path: None for no token.
    """

    path: Path | None = None

    def __call__(self) -> str:
        """The token; empty for none.

        Raises:
            ClusterRefused: the file cannot be read.
        """
        if self.path is None:
            return ""
        try:
            return self.path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ClusterRefused(f"The file of a token, {self.path}, cannot be read: {error}.") from error
