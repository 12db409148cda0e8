"""The configuration of each agent, from the plan alone."""

import json
from collections.abc import Mapping
from pathlib import Path

from scripts.stack.access import AUDIENCE, ConsulTokens
from scripts.stack.gpus import PLUGIN as GPU_SIM
from scripts.stack.plan import Node, Plan

LOOPBACK = "127.0.0.1"
CLOUDS = "env_aws,env_gce,env_azure,env_digitalocean"
"""Nodes are asked for none of these: looking for them takes seconds, and fails where AWS_CA_BUNDLE is set."""

MINIMAL_POLICY = """\
namespace "default" {
  capabilities = ["list-jobs", "read-job", "submit-job", "dispatch-job", "read-logs"]
}
node {
  policy = "read"
}
"""
"""What Yurt's token may do in Nomad, and no more."""


def plugin_folder(plan: Plan, node: Node) -> Path:
    """Where the node finds its device plugin."""
    return plan.home / node.name / "plugins"


def nomad_server(plan: Plan, tokens: ConsulTokens) -> str:
    """The configuration of the Nomad server."""
    http = plan.nomad_http
    return f"""{_nomad(plan.home / "server", "server", http, http + 1, http + 2)}
server {{
  enabled           = true
  bootstrap_expect  = 1
  event_buffer_size = 10000
  heartbeat_grace   = "10s"
}}
{_consul(plan.consul_http, tokens, _TASK_IDENTITY)}"""


def nomad_client(plan: Plan, node: Node, tokens: ConsulTokens) -> str:
    """The configuration of a Nomad node. It listens for HTTP only; the other ports are written, not opened.

    GPUs that are simulated need no runtime of NVIDIA's for docker.
    """
    first, last = node.task_ports
    gpus = [str(gpus) for gpus in node.gpus]
    return f"""{_nomad(plan.home / node.name / "data", node.name, node.http, node.http + 1, node.http + 2)}
plugin_dir = {_text(plugin_folder(plan, node))}
client {{
  enabled           = true
  servers           = ["{LOOPBACK}:{plan.nomad_http + 1}"]
  network_interface = "lo"
  gc_max_allocs     = 1000
  max_kill_timeout  = "10m"
  min_dynamic_port  = {first}
  max_dynamic_port  = {last}
  options = {{
    "fingerprint.denylist" = "{CLOUDS}"
  }}
}}
plugin "raw_exec" {{
  config {{
    enabled = true
  }}
}}
plugin "docker" {{
  config {{
    nvidia_runtime = "runc"
    gc {{
      image = false
    }}
  }}
}}
plugin "{GPU_SIM}" {{
  config {{
    node    = "{node.name}"
    gpus    = {json.dumps(gpus)}
    watched = {_text(plan.home / node.name)}
  }}
}}
{_consul(node.consul_http, tokens)}"""


def consul_server(plan: Plan, tokens: ConsulTokens) -> str:
    """The configuration of the Consul server, which knows from it who may do everything."""
    http = plan.consul_http
    ports = {"http": http, "server": http + 1, "serf_lan": http + 2}
    role = {"server": True, "bootstrap_expect": 1, "ui_config": {"enabled": True}}
    acl = {"initial_management": tokens.management, "agent": tokens.agents}
    return _consul_agent(plan.home / "consul", "consul", ports, acl, role)


def consul_client(plan: Plan, node: Node, tokens: ConsulTokens) -> str:
    """The configuration of the Consul agent of a node that has its own."""
    server = f"{LOOPBACK}:{plan.consul_http + 2}"
    ports = {"http": node.consul_http, "serf_lan": node.consul_serf}
    acl, role = {"agent": tokens.agents}, {"retry_join": [server]}
    return _consul_agent(plan.home / node.name / "consul", node.name, ports, acl, role)


def _consul_agent(
    data: Path, name: str, ports: dict[str, int], tokens: dict[str, str], role: Mapping[str, object]
) -> str:
    closed = dict.fromkeys(("dns", "grpc", "grpc_tls", "serf_wan"), -1)
    common = {
        "node_name": name,
        "data_dir": str(data),
        "bind_addr": LOOPBACK,
        "client_addr": LOOPBACK,
        "ports": closed | ports,
        "acl": {"enabled": True, "default_policy": "deny", "tokens": tokens},
        "disable_update_check": True,
        "disable_host_node_id": True,  # two agents of one machine would have the same
        "leave_on_terminate": True,
        "performance": {"raft_multiplier": 1},
        "log_level": "warn",
    }
    return json.dumps({**common, **role}, indent=2)


def _nomad(data: Path, name: str, http: int, rpc: int, serf: int) -> str:
    return f"""name      = "{name}"
data_dir  = {_text(data)}
bind_addr = "{LOOPBACK}"
advertise {{
  http = "{LOOPBACK}"
  rpc  = "{LOOPBACK}"
  serf = "{LOOPBACK}"
}}
ports {{
  http = {http}
  rpc  = {rpc}
  serf = {serf}
}}
limits {{
  http_max_conns_per_client = 0
}}
acl {{
  enabled = true
}}
disable_update_check = true"""


_TASK_IDENTITY = f"""
  task_identity {{
    aud = ["{AUDIENCE}"]
    ttl = "1h"
  }}"""
"""With it, tasks with a block `consul` get tokens of their own for their templates."""


def _consul(http: int, tokens: ConsulTokens, more: str = "") -> str:
    return f"""consul {{
  address = "{LOOPBACK}:{http}"
  token   = "{tokens.nomad}"{more}
}}
"""


def _text(path: Path) -> str:
    return json.dumps(str(path))
