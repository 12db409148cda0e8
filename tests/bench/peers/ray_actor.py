"""An actor of Ray, called by the process that made it. Nothing is kept."""

import sys

import ray

from tests.bench.peers.loop import report


class Worker:
    def noop(self) -> None:
        return None


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    worker = ray.remote(num_cpus=1)(Worker).remote()
    report(worker.noop.remote, lambda call: ray.get(call, timeout=10), float(sys.argv[1]))
    ray.shutdown()
