"""Containers as allocations of a Nomad cluster. Nothing outside this package knows Nomad's words."""

from yurt.outbound.engines.nomad.doctor import Doctor
from yurt.outbound.engines.nomad.engine import NomadEngine
from yurt.outbound.engines.nomad.settings import NomadSettings

__all__ = ["Doctor", "NomadEngine", "NomadSettings"]
