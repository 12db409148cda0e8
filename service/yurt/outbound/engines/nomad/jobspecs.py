"""The job specifications that come with Yurt, or the operator's own copies of them."""

from importlib.resources import files
from pathlib import Path

from yurt.ports import ClusterRefused

FUNCTION = "function.nomad.hcl"


def read_template(folder: Path | None) -> str:
    """The job specification of functions. Blocks for a moment.

    Args:
        folder: the operator's own; None for the one that comes with Yurt.

    Raises:
        ClusterRefused: the folder does not have it.
    """
    if folder is None:
        return files("yurt.outbound.engines.nomad").joinpath("jobspecs", FUNCTION).read_text()
    path = folder / FUNCTION
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterRefused(
            f"The job specification {path} cannot be read: {error}. Copy the jobspecs folder that comes with Yurt, or"
            " leave out --nomad-jobspecs."
        ) from error
