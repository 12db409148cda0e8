"""Where the web servers of containers are, as `yurt.ports.Discovery` wants it."""

from yurt.outbound.discovery.consul import ConsulDiscovery
from yurt.outbound.discovery.consul_api import ConsulSettings
from yurt.outbound.discovery.consul_doctor import look_over
from yurt.outbound.discovery.local import LocalDiscovery

__all__ = ["ConsulDiscovery", "ConsulSettings", "LocalDiscovery", "look_over"]
