"""A deployment of Ray Serve behind its HTTP proxy, called with the client that Yurt is called with. Nothing is kept."""

import json
import sys

import ray
import uvloop
from ray import serve
from starlette.responses import Response

from tests.bench.load import Load, load

PORT = 8000


class Noop:
    async def __call__(self) -> Response:
        return Response(b"null", media_type="application/json")


def measured(connections: int, seconds: float) -> Load:
    """One phase."""
    return uvloop.run(load(PORT, "/", connections=connections, seconds=seconds, expected=b"null"))


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    deployment = serve.deployment(num_replicas=2, max_ongoing_requests=128)(Noop)
    serve.run(deployment.bind(), route_prefix="/")
    measured(8, 1.0)
    alone, many = measured(1, float(sys.argv[1])), measured(64, float(sys.argv[1]))
    figures = {f"p{n}_c1_ms": alone.percentile(n / 100) for n in (50, 95, 99)}
    errors = alone.failures + many.failures
    sys.stdout.write(json.dumps({**figures, "rate_c64": many.rate, "errors": errors}) + "\n")
    ray.shutdown()
