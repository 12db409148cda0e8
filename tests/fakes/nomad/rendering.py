"""What Nomad's parser makes of jobspecs/function.nomad.hcl: the double knows this one template, and no HCL."""

import json
import re

from tests.fakes.nomad.cluster import RefusedByNomad
from tests.fakes.nomad.shapes import Json

SECOND_NS = 1_000_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_function(hcl: str, variables: str) -> Json:
    """The job of a revision, by the document in the variable `spec`.

    Raises:
        RefusedByNomad: it is another template, or there is no such document.
    """
    if "jsondecode(var.spec)" not in hcl:
        raise RefusedByNomad("input.hcl:1,1-2: Argument or block definition required; the double knows one template")
    found = re.fullmatch(r'spec = (".*")\n', variables, re.DOTALL)
    if found is None:
        raise RefusedByNomad("Failed to parse using HCL 2: missing var.spec")
    return _job(json.loads(json.loads(found[1].replace("$${", "${").replace("%%{", "%{"))))


def _ns(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]] * SECOND_NS


def _job(spec: Json) -> Json:
    return {
        "ID": spec["id"],
        "Name": spec["id"],
        "Type": "batch",
        "Region": spec["region"],
        "Namespace": spec["namespace"],
        "Datacenters": spec["datacenters"],
        "NodePool": spec["node_pool"],
        "Meta": spec["meta"],
        "UI": {
            "Description": spec["description"],
            "Links": [{"Label": link["label"], "URL": link["url"]} for link in spec["links"]],
        },
        "ParameterizedJob": {"Payload": "forbidden", "MetaRequired": ["container_id"]},
        "TaskGroups": [
            {
                "Name": "container",
                "RestartPolicy": {"Attempts": 0, "Mode": "fail"},
                "ReschedulePolicy": {"Attempts": 0, "Unlimited": False},
                "Disconnect": {
                    "LostAfter": _ns(spec["lost_after"]),
                    "Replace": False,
                    "Reconcile": "keep_original",
                },
                **_servers(spec["web"]),
                "EphemeralDisk": {"SizeMB": spec["disk_mib"]},
                "Tasks": [_task(spec)],
            }
        ],
    }


def _servers(web: Json | None) -> Json:
    """Of a function that answers HTTP."""
    if web is None:
        return {}
    port = {"Label": "web", "To": web["to_port"], "Value": web["static_port"]}
    service = {
        "Name": web["service"],
        "Provider": "consul",
        "PortLabel": "web",
        "Tags": web["tags"],
        "Meta": {"container_id": "${NOMAD_META_container_id}"},
        "Checks": [{"Type": "tcp", "Interval": SECOND_NS, "Timeout": SECOND_NS}],
    }
    return {
        "ShutdownDelay": SECOND_NS,
        "Networks": [{"ReservedPorts" if web["static_port"] else "DynamicPorts": [port]}],
        "Services": [service],
    }


def _task(spec: Json) -> Json:
    docker = {name: value for name, value in spec["docker"].items() if value is not None}
    return {
        "Name": "runner",
        "Driver": spec["driver"],
        "User": spec["user"] or "",
        "KillSignal": "SIGTERM",
        "KillTimeout": _ns(spec["kill_timeout"]),
        "Identities": [
            {"Name": "yurt", "Audience": ["yurt"], "File": True, "TTL": 3600 * SECOND_NS, "ChangeMode": "noop"}
        ],
        "Artifacts": [
            {
                "GetterSource": spec["runner"]["url"],
                "GetterMode": "file",
                "GetterOptions": {"checksum": spec["runner"]["checksum"]},
                "RelativeDest": "local/runner.pyz",
            }
        ],
        "Config": {"command": spec["command"], "args": ["${NOMAD_TASK_DIR}/runner.pyz"], **docker},
        "Env": spec["env"],
        "LogConfig": {"MaxFiles": 2, "MaxFileSizeMB": 5},
        "Resources": {
            "CPU": spec["cpu_mhz"],
            "MemoryMB": spec["memory_mib"],
            "Devices": [_device(device) for device in spec["devices"]] or None,
        },
    }


def _device(device: Json) -> Json:
    def terms(found: list[Json]) -> list[Json] | None:
        names = {"attribute": "LTarget", "operator": "Operand", "value": "RTarget", "weight": "Weight"}
        return [{names[key]: value for key, value in term.items()} for term in found] or None

    return {
        "Name": device["name"],
        "Count": device["count"],
        "Constraints": terms(device["constraints"]),
        "Affinities": terms(device["affinities"]),
    }
