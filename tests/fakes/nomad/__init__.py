"""A double of Nomad's HTTP API, as far as Yurt uses it; tests/contract/nomad holds it to the real one."""

from tests.fakes.nomad.cluster import Cluster, Gpus, Node
from tests.fakes.nomad.server import Knobs, NomadDouble

__all__ = ["Cluster", "Gpus", "Knobs", "Node", "NomadDouble"]
