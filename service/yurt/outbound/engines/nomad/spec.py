"""A revision as the document that its job specification is rendered from: pure, and compared with golden files."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from yurt.domain import gpu
from yurt.domain.capacity import Capacity, Shortage, choose
from yurt.domain.functions import LiveFunction
from yurt.outbound.engines.nomad.settings import NomadSettings
from yurt.ports import EngineRefused

IDENTITY = "yurt"
"""The name and the audience of the workload identity that containers show."""

CONTAINER = "container_id"
"""The meta key that says which container a dispatched job is."""

DIGEST = "yurt_spec"
"""The meta key with the hash of the document: a job whose hash is another one is registered anew."""

OVERHEAD_MIB = 64
"""For the runner's supervisor and the interpreter, beyond what the definition allows the function."""

LOST_AFTER = "10m"
"""How long a container on a node that is away may still be there when the node comes back."""

HIDDEN = (
    "NOMAD_TOKEN",
    f"NOMAD_TOKEN_{IDENTITY}",
    "NOMAD_UNIX_ADDR",
    "CONSUL_HTTP_TOKEN",
    "CONSUL_TOKEN",
    "VAULT_TOKEN",
)
"""What Nomad sets and functions must not see."""

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*\Z")
"""What an image's name may be made of, so that nothing in it is interpolated by Nomad."""

_LONGEST_NAME = 60


def prefix_of(installation: str) -> str:
    """What the ids of all jobs of an installation begin with."""
    return f"yurt-{_plain(installation)}-"


def job_id(function: LiveFunction, installation: str) -> str:
    """The id of a revision's job: readable, unique, of bounded length."""
    words = [_plain(word) for word in (function.environment, function.app, function.name)]
    name = "-".join(words)[:_LONGEST_NAME].rstrip("-")
    mark = hashlib.sha256(function.function_id.encode()).hexdigest()[:8]
    number = f"-x{gpu.split(function.gpu[0])[1]}" if function.gpu else ""
    return f"{prefix_of(installation)}{name}-{mark}-r{function.revision}{number}"


def variants_of(function: LiveFunction) -> list[LiveFunction]:
    """The function once for each number of GPUs among its choices: a request of Nomad's has one number."""
    if not function.gpu:
        return [function]
    by_number: dict[int, list[str]] = {}
    for choice in function.gpu:
        by_number.setdefault(gpu.split(choice)[1], []).append(choice)
    return [replace(function, gpu=tuple(choices)) for choices in by_number.values()]


def variant_for(function: LiveFunction, capacity: Capacity) -> LiveFunction:
    """The variant with the first choice that can be had now; else that could be had if others were done."""
    found = choose(function.gpu, capacity)
    request = f"{found[0].type}:{found[1]}" if not isinstance(found, Shortage) else str(found.details["gpu"])
    number = gpu.split(request)[1]
    variants = variants_of(function)
    return next((one for one in variants if gpu.split(one.gpu[0])[1] == number), variants[0])


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")


def spec_of(function: LiveFunction, settings: NomadSettings) -> dict[str, Any]:
    """The document of one revision.

    Raises:
        EngineRefused: there is no image to run it in, or the image's name is none.
    """
    driver, image = _image(function, settings)
    web = _web(function, settings, network_of_its_own=driver == "docker" and settings.docker_network != "host")
    spec: dict[str, Any] = {
        "id": job_id(function, settings.installation),
        "region": settings.region,
        "namespace": settings.namespace,
        "datacenters": list(settings.datacenters),
        "node_pool": settings.node_pool,
        "meta": {
            "yurt_installation": settings.installation,
            "yurt_environment": function.environment,
            "yurt_app": function.app,
            "yurt_function": function.name,
            "yurt_function_id": function.function_id,
            "yurt_revision": str(function.revision),
        },
        "description": f"{function.address}, revision {function.revision}, in {function.environment}. Yurt keeps this"
        " job: each of its children is one container.",
        "links": [{"label": "Yurt", "url": f"{settings.public_url}/v1/functions/{function.function_id}"}],
        "lost_after": LOST_AFTER,
        "disk_mib": 300,
        "driver": driver,
        "user": _user(driver, settings.user),
        "kill_timeout": f"{math.ceil(settings.kill_timeout_s)}s",
        "runner": {
            "url": f"{settings.public_url}/runner/{settings.runner_sha256}.pyz",
            "checksum": f"sha256:{settings.runner_sha256}",
        },
        "command": settings.python,
        "docker": _docker(driver, image, settings.docker_network, web),
        "web": web,
        "env": _environment(function, settings, web),
        "cpu_mhz": max(1, math.ceil(function.cpu * settings.mhz_per_core)),
        "memory_mib": function.memory_mib + OVERHEAD_MIB,
        "devices": devices_of(function.gpu, settings.gpu_models),
    }
    spec["meta"][DIGEST] = digest(spec)
    return spec


def digest(spec: Mapping[str, Any]) -> str:
    """A hash of a document, short."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def variables_of(spec: Mapping[str, Any]) -> str:
    """The document as the one HCL variable `spec`, a string in which nothing is a template."""
    text = json.dumps(json.dumps(spec, sort_keys=True))
    return "spec = " + text.replace("${", "$${").replace("%{", "%%{") + "\n"


def _image(function: LiveFunction, settings: NomadSettings) -> tuple[str, str | None]:
    if function.image is None and settings.driver == "raw_exec":
        return "raw_exec", None
    image = function.image or settings.default_image
    if image is None:
        raise EngineRefused(
            "image_unavailable",
            f"{function.address} names no image, and this server has no default_image to run it in. Deploy it with an"
            " image, or start the server with --default-image.",
        )
    if not _IMAGE.match(image):
        raise EngineRefused("image_unavailable", f"The image of {function.address} is not a name of an image.")
    return "docker", image


def _user(driver: str, user: str | None) -> str:
    """Empty: Nomad's own choice."""
    if user is None:
        return "65534:65534" if driver == "docker" else ""  # nobody, whose name images need not know
    return user


def _web(function: LiveFunction, settings: NomadSettings, *, network_of_its_own: bool) -> dict[str, Any] | None:
    """How the server of a function that answers HTTP is reached; None where there is none.

    Args:
        network_of_its_own: the container has one, to which a port of the node is mapped.
    """
    if function.web is None or not settings.finds_servers:
        return None
    own = function.web.port or 0  # 0: one that Nomad chooses
    return {
        "service": f"yurt-{function.web.label}",
        "tags": [settings.installation],
        "listen_on": "0.0.0.0" if network_of_its_own else "${NOMAD_IP_web}",  # noqa: S104 - of its own network
        "static_port": 0 if network_of_its_own else own,
        "to_port": own if network_of_its_own else 0,
    }


def _docker(driver: str, image: str | None, network: str, web: Mapping[str, Any] | None) -> dict[str, Any]:
    """What only docker has; null elsewhere, where it is no attribute at all."""
    values: dict[str, Any] = {
        "image": image,
        "network_mode": network,
        "cap_drop": ["all"],
        "security_opt": ["no-new-privileges"],
        "readonly_rootfs": True,
        "pids_limit": 4096,
        "ports": ["web"] if web is not None and network != "host" else None,
    }
    return values if driver == "docker" else dict.fromkeys(values)


def _environment(function: LiveFunction, settings: NomadSettings, web: Mapping[str, Any] | None) -> dict[str, str]:
    """The variables of the runner. What a definition asks for is not among them: it travels in the session."""
    start = {
        "url": settings.public_url,
        "container_id": "${NOMAD_META_" + CONTAINER + "}",
        "token_file": "${NOMAD_SECRETS_DIR}/nomad_" + IDENTITY + ".jwt",
        "grace_s": settings.grace_s,
        "scratch": "${NOMAD_TASK_DIR}",
    }
    if web is not None:
        start |= {"web_host": web["listen_on"], "web_port": "${NOMAD_PORT_web}"}
    variables = {
        "YURT_START": json.dumps(start),
        "YURT_HIDDEN": " ".join(HIDDEN),
        "YURT_INSTALLATION": settings.installation,
        "YURT_CONTAINER_ID": "${NOMAD_META_" + CONTAINER + "}",
        "HOME": "${NOMAD_TASK_DIR}",
        "TMPDIR": "${NOMAD_ALLOC_DIR}/tmp",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }
    if not function.gpu:
        variables["NVIDIA_VISIBLE_DEVICES"] = "void"  # else images made for CUDA see every GPU of the node
    return variables


def devices_of(wanted: tuple[str, ...], further: Mapping[str, str]) -> list[dict[str, Any]]:
    """The device request of a function: any of its choices, the earlier ones preferred.

    Nomad gives the GPUs of one request from one model of one node.

    Args:
        wanted: canonical requests, in order of preference, of one number.
        further: the operator's own types by product name.
    """
    if not wanted:
        return []
    count = gpu.split(wanted[0])[1]
    choices = ["|".join(_patterns(gpu.split(request)[0], further)) for request in wanted]
    model = "${device.model}"
    affinities = [
        {"attribute": model, "operator": "regexp", "value": choice, "weight": max(1, 100 - 100 * at // len(choices))}
        for at, choice in enumerate(choices)
    ]
    return [
        {
            "name": "nvidia/gpu",
            "count": count,
            "constraints": [{"attribute": model, "operator": "regexp", "value": "|".join(choices)}],
            "affinities": affinities if len(choices) > 1 else [],
        }
    ]


def _patterns(name: str, further: Mapping[str, str]) -> list[str]:
    types = gpu.EITHER.get(name, (name,))
    own = [f"^{re.escape(model)}$" for model, type_ in further.items() if type_ in types]
    return [gpu.MODELS[one] for one in types] + own
