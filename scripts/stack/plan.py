"""What a stack is to be: its folder, its ports, its nodes."""

from dataclasses import dataclass, field
from pathlib import Path

from scripts.stack.gpus import Gpus, parse_gpus

FIRST_PORT = 4646
PORTS = 20
MOST_NODES = 4
USUAL_NODES = ("h100:2,t4:2",)

TASK_PORTS_FROM = 20000
TASK_PORTS_A_NODE = 100
TASK_PORT_RANGES = 120


@dataclass(frozen=True)
class Node:
    """A Nomad client and the Consul agent beside it.

    Attributes:
        number: from 0.
        consul_http: the first node uses the Consul server; each other has an agent of its own, since a Nomad client
            removes what it does not know from the agent that it registers services with.
    """

    number: int
    gpus: tuple[Gpus, ...]
    http: int
    consul_http: int
    consul_serf: int
    task_ports: tuple[int, int]

    @property
    def name(self) -> str:
        """As Nomad's UI shows it."""
        return f"node-{self.number + 1}"

    @property
    def own_consul(self) -> bool:
        """Whether it has a Consul agent of its own."""
        return self.number > 0


@dataclass(frozen=True)
class Plan:
    """A stack.

    Attributes:
        home: everything that it writes is in it.
        first_port: of `PORTS` in a row.
    """

    home: Path
    first_port: int = FIRST_PORT
    nodes: tuple[tuple[Gpus, ...], ...] = field(default_factory=lambda: tuple(map(parse_gpus, USUAL_NODES)))

    def __post_init__(self) -> None:
        if not 1024 <= self.first_port <= TASK_PORTS_FROM - PORTS and not (
            TASK_PORTS_FROM + TASK_PORTS_A_NODE * TASK_PORT_RANGES <= self.first_port <= 65536 - PORTS
        ):
            raise ValueError(
                f"the first port {self.first_port} is out of range: the stack takes {PORTS} in a row below"
                f" {TASK_PORTS_FROM} or from {TASK_PORTS_FROM + TASK_PORTS_A_NODE * TASK_PORT_RANGES}; those between"
                " are for tasks"
            )
        if not 1 <= len(self.nodes) <= MOST_NODES:
            raise ValueError(f"{len(self.nodes)} nodes: a stack has 1 to {MOST_NODES}")

    @property
    def nomad_http(self) -> int:
        """Of the Nomad server: its API and UI. RPC and gossip take the next two."""
        return self.first_port

    @property
    def consul_http(self) -> int:
        """Of the Consul server: its API and UI. RPC and gossip take the next two."""
        return self.first_port + 3

    @property
    def nomad_address(self) -> str:
        """Where Nomad answers."""
        return f"http://127.0.0.1:{self.nomad_http}"

    @property
    def consul_address(self) -> str:
        """Where Consul answers."""
        return f"http://127.0.0.1:{self.consul_http}"

    def node(self, number: int) -> Node:
        """One of its nodes."""
        first = self.first_port + 6 + 3 * number
        ranges = (self.first_port // PORTS * MOST_NODES + number) % TASK_PORT_RANGES
        lowest = TASK_PORTS_FROM + ranges * TASK_PORTS_A_NODE
        return Node(
            number=number,
            gpus=self.nodes[number],
            http=first,
            consul_http=first + 1 if number else self.consul_http,
            consul_serf=first + 2,
            task_ports=(lowest, lowest + TASK_PORTS_A_NODE - 1),
        )

    def all_nodes(self) -> list[Node]:
        """Its nodes."""
        return [self.node(number) for number in range(len(self.nodes))]

    def ports(self) -> list[int]:
        """Those that it listens on."""
        own = [self.first_port + offset for offset in range(6)]
        for node in self.all_nodes():
            own += [node.http, node.consul_http, node.consul_serf] if node.own_consul else [node.http]
        return own
