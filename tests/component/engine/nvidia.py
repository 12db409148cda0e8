"""A stand-in for the driver's program, on PATH."""

import os
from pathlib import Path

import pytest


def install(folder: Path, patch: pytest.MonkeyPatch, *models: str, script: str | None = None) -> None:
    """Have nvidia-smi tell of GPUs: `NVIDIA H100 PCIe`, or `NVIDIA H100 PCIe, Enabled` with slices.

    Args:
        script: what it does instead, as a shell script.
    """
    lines = [f"GPU-{n}, {model if ', ' in model else model + ', [N/A]'}" for n, model in enumerate(models)]
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + (script or "cat <<END\n" + "\n".join(lines) + "\nEND\n"))
    program.chmod(0o755)
    patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
