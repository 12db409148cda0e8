"""Virtual environments for functions with requirements: made once, shared, and removed when nobody uses them."""

from yurt.outbound.engines.local.environments.building import Unprepared
from yurt.outbound.engines.local.environments.keeper import Keeper, Say, Withdrawn
from yurt.outbound.engines.local.environments.settings import EnvironmentSettings

__all__ = ["EnvironmentSettings", "Keeper", "Say", "Unprepared", "Withdrawn"]
