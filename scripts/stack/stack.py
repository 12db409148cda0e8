"""A stack: started, looked at, hurt, and ended."""

import json
import os
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.stack import configs, leftovers
from scripts.stack.access import ConsulTokens, consul_tokens, set_up_consul, token_files, trust_nomad, write_secret
from scripts.stack.gpus import PLUGIN as GPU_SIM
from scripts.stack.gpus import parse_gpus
from scripts.stack.http import Refused, call
from scripts.stack.plan import Node, Plan
from scripts.stack.ports import is_free
from scripts.stack.processes import Started, kill, spawn
from scripts.stack.programs import CONSUL, NOMAD, obtain

ROOT = Path(__file__).resolve().parent.parent.parent
READY_S = 60
LOOK_S = 0.05
FREE_S = 2
"""A process that was killed holds its ports until the last of its threads is gone."""

REGISTERED = "client: node registration complete"
SERVER = "nomad"
CONSUL_SERVER = "consul"
NO_CGROUPS = "failed to initialize process manager"
_CAPABILITIES = "+dac_override,+kill"
WITHOUT_CGROUPS = (
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"),
    *(f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}"),
)
"""Where root cannot write control groups, as in many containers, a Nomad client insists on them as root, and does
without them as anyone else; that one may then touch what it could as root."""


class Failed(Exception):
    """A stack cannot be as it is wanted; the message says why, and what to do."""


@dataclass(frozen=True)
class Agent:
    """One process of a stack.

    Attributes:
        ready: whether it works; its argument is what it has logged since its start.
    """

    role: str
    command: list[str]
    files: dict[Path, str]
    ready: Callable[[str], object]


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


class Stack:
    """A stack in a folder.

    Args:
        plan: what it is to be.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.home = plan.home
        self._started: dict[str, Started] = {}
        self._programs: dict[str, str] = {}

    @classmethod
    def found(cls, home: Path) -> "Stack | None":
        """The stack that was put into a folder, if one was."""
        try:
            kept = json.loads((home / "stack.json").read_text())
        except FileNotFoundError:
            return None
        nodes = tuple(tuple(gpus for text in node for gpus in parse_gpus(text)) for node in kept["nodes"])
        stack = cls(Plan(home=home, first_port=kept["first_port"], nodes=nodes))
        stack._started = {role: Started(**started) for role, started in kept["started"].items()}
        stack._programs = kept["programs"]
        return stack

    def up(self, cache: Path, tell: Callable[[str], None] = say) -> None:
        """Start what does not run, and return when all of it works.

        Args:
            cache: where the programs are kept, if they are not on the PATH.

        Raises:
            Failed: an agent does not start, or its ports are taken.
            Unobtainable: a program is found nowhere.
        """
        self._programs = {program.name: str(obtain(program, tell, cache)) for program in (CONSUL, NOMAD)}
        if self.home.exists() and not (self.home / "stack.json").exists() and any(self.home.iterdir()):
            raise Failed(f"{self.home} holds something else; choose another folder with --dir")
        self._make_home()
        if not self.running():
            self._check_ports()
        self._save()
        for role in self.roles():
            if role not in self.running():
                self.start(role)
                tell(f"{role} runs")
            if role == CONSUL_SERVER:
                self._set_up_consul()
            if role == SERVER:
                self._set_up_access()
                self._set_up_trust()
        self._wait("the nodes", self._nodes_ready)

    def down(self) -> None:
        """End all of it and remove its folder.

        Raises:
            TimeoutError: something does not end.
        """
        leftovers.clear(self.home)

    def roles(self) -> list[str]:
        """The agents, in the order of their start."""
        consuls = [CONSUL_SERVER, *(f"consul-{node.name}" for node in self.plan.all_nodes() if node.own_consul)]
        return [*consuls, SERVER, *(node.name for node in self.plan.all_nodes())]

    def running(self) -> dict[str, int]:
        """The agents that run, with their process numbers."""
        return {role: started.pid for role, started in self._started.items() if started.process()}

    def start(self, role: str) -> None:
        """Start an agent, and return when it works.

        Raises:
            Failed: it does not.
        """
        agent = self._agent(role)
        for path, text in agent.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_secret(path, text)  # it may hold tokens
        try:
            self._start(agent, agent.command)
        except Failed as error:
            if NO_CGROUPS not in str(error):
                raise
            self._start(agent, [*WITHOUT_CGROUPS, *agent.command])

    def _start(self, agent: Agent, command: list[str]) -> None:
        log = self.home / f"{agent.role}.log"
        before = log.stat().st_size if log.exists() else 0
        self._started[agent.role] = started = spawn(command, self.home, log)
        self._save()

        def ready() -> object:
            if started.process() is None:
                raise Failed(f"{agent.role} ended as it started. Its log, {log}, ends:\n{_end(log)}")
            return agent.ready(log.read_text(errors="replace")[before:])

        self._wait(agent.role, ready)

    def kill(self, role: str) -> None:
        """End an agent as a power switch would; what it started goes on."""
        process = self._started[role].process()
        if process is not None:
            kill([process])

    def management_token(self) -> str:
        """The token that may do everything."""
        return (self.home / "management.token").read_text().strip()

    def token(self) -> str:
        """The token with the rights of Yurt."""
        return (self.home / "nomad.token").read_text().strip()

    def consul_tokens(self) -> ConsulTokens:
        """The tokens of Consul."""
        return consul_tokens(self.home)

    def consul(self, method: str, path: str, body: Any = None) -> Any:
        """Call the Consul server, with every right.

        Raises:
            Refused: it does not answer, or with an error.
        """
        return call(method, f"{self.plan.consul_address}{path}", self.consul_tokens().management, body)

    def nomad(self, method: str, path: str, body: Any = None) -> Any:
        """Call the Nomad server, with every right.

        Raises:
            Refused: it does not answer, or with an error.
        """
        return call(method, f"{self.plan.nomad_address}{path}", self.management_token(), body)

    def environment(self) -> dict[str, str]:
        """The variables with which Nomad's, Consul's and Yurt's commands use this stack."""
        return {
            "NOMAD_ADDR": self.plan.nomad_address,
            "NOMAD_TOKEN": self.token(),
            "CONSUL_HTTP_ADDR": self.plan.consul_address,
            "CONSUL_HTTP_TOKEN_FILE": str(token_files(self.home)["yurt"]),
            "YURT_NOMAD_ADDRESS": self.plan.nomad_address,
            "YURT_NOMAD_TOKEN_FILE": str(self.home / "nomad.token"),
            "YURT_NOMAD_NAMESPACE": "default",
            "YURT_NOMAD_DRIVER": "raw_exec",
            "YURT_CONSUL_ADDRESS": self.plan.consul_address,
            "YURT_CONSUL_TOKEN_FILE": str(token_files(self.home)["yurt"]),
            "YURT_NOMAD_PYTHON": python_of_everyone(),
        }

    def _make_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o711)
        closed = [place for place in self.home.parents if not place.stat().st_mode & stat.S_IXOTH]
        if closed and os.getuid() == 0:
            self.home.rmdir()
            raise Failed(
                f"only its owner can enter {closed[0]}, and tasks of other users could not run in {self.home}; choose"
                " another folder with --dir"
            )

    def _check_ports(self) -> None:
        deadline = time.monotonic() + FREE_S
        while taken := [str(port) for port in self.plan.ports() if not is_free(port)]:
            if time.monotonic() < deadline:
                time.sleep(LOOK_S)
                continue
            raise Failed(f"these ports are in use: {', '.join(taken)}. Choose others with --first-port")

    def _agent(self, role: str) -> Agent:
        plan, tokens = self.plan, self.consul_tokens()
        if role == CONSUL_SERVER:
            return self._consul(role, configs.consul_server(plan, tokens), plan.consul_address)
        if role == SERVER:
            return self._nomad(role, configs.nomad_server(plan, tokens), lambda _log: self._has_keys())
        node = next(node for node in plan.all_nodes() if role in (node.name, f"consul-{node.name}"))
        if role != node.name:
            return self._consul(role, configs.consul_client(plan, node, tokens), f"http://127.0.0.1:{node.consul_http}")
        agent = self._nomad(role, configs.nomad_client(plan, node, tokens), lambda log: REGISTERED in log)
        self._put_plugin(node)
        return agent

    def _consul(self, role: str, config: str, address: str) -> Agent:
        path = self.home / f"{role}.json"
        command = [self._programs["consul"], "agent", f"-config-file={path}"]
        return Agent(role, command, {path: config}, lambda _log: call("GET", f"{address}/v1/status/leader"))

    def _nomad(self, role: str, config: str, ready: Callable[[str], object]) -> Agent:
        path = self.home / f"{role}.hcl"
        return Agent(role, [self._programs["nomad"], "agent", f"-config={path}"], {path: config}, ready)

    def _put_plugin(self, node: Node) -> None:
        plugin = configs.plugin_folder(self.plan, node) / GPU_SIM
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m scripts.stack.gpu_sim.plugin\n')
        plugin.chmod(0o755)

    def _has_keys(self) -> bool:
        # A node that registers before the keys are there is refused, and tries again only after 15 to 30 s.
        return bool(call("GET", f"{self.plan.nomad_address}/.well-known/jwks.json")["keys"])

    def _set_up_consul(self) -> None:
        self._wait("access to Consul", lambda: set_up_consul(self.plan.consul_address, self.consul_tokens()))

    def _set_up_trust(self) -> None:
        consul, nomad, tokens = self.plan.consul_address, self.plan.nomad_address, self.consul_tokens()
        self._wait("Consul's trust in Nomad", lambda: trust_nomad(consul, nomad, tokens))

    def _set_up_access(self) -> None:
        """Make the two tokens of Nomad, once."""
        if (self.home / "nomad.token").exists():
            return
        if not (self.home / "management.token").exists():
            made = self._wait("access", lambda: call("POST", f"{self.plan.nomad_address}/v1/acl/bootstrap"))
            write_secret(self.home / "management.token", made["SecretID"])
        self.nomad("POST", "/v1/acl/policy/yurt", {"Name": "yurt", "Rules": configs.MINIMAL_POLICY})
        token = self.nomad("PUT", "/v1/acl/token", {"Name": "yurt", "Type": "client", "Policies": ["yurt"]})
        write_secret(self.home / "nomad.token", token["SecretID"])

    def _nodes_ready(self) -> bool:
        listed = {
            node["Name"]: node for node in self.nomad("GET", "/v1/nodes?resources=true") if node["Status"] == "ready"
        }
        for node in self.plan.all_nodes():
            found = listed.get(node.name)
            if found is None or not found["Drivers"].get("raw_exec", {}).get("Healthy"):
                return False
            devices = found["NodeResources"]["Devices"] or []
            if sum(len(device["Instances"]) for device in devices) != sum(gpus.count for gpus in node.gpus):
                return False
        return True

    def _wait(self, what: str, ready: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + READY_S
        reason = ""
        while time.monotonic() < deadline:
            try:
                if found := ready():
                    return found
            except Refused as error:
                reason = f"; the last answer was: {error}"
            time.sleep(LOOK_S)
        raise Failed(f"{what}: not ready after {READY_S} s{reason}. The logs are in {self.home}")

    def _save(self) -> None:
        kept = {
            "first_port": self.plan.first_port,
            "nodes": [[str(gpus) for gpus in node] for node in self.plan.nodes],
            "started": {role: {"pid": started.pid, "at": started.at} for role, started in self._started.items()},
            "programs": self._programs,
        }
        half = self.home / ".stack.json"
        half.write_text(json.dumps(kept, indent=2))
        half.replace(self.home / "stack.json")


def python_of_everyone() -> str:
    """A `python3` of the PATH that every user may run; some are in somebody's home."""
    for folder in os.get_exec_path():
        found = Path(folder) / "python3"
        if found.exists() and all(place.stat().st_mode & stat.S_IXOTH for place in [found, *found.resolve().parents]):
            return str(found)
    return "python3"


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
