"""The durable store: `open_chosen` gives a `yurt.ports.Store`, or raises `StoreRefused`."""

from yurt.outbound.store.choosing import open_chosen
from yurt.outbound.store.errors import StoreRefused
from yurt.outbound.store.store import open_store

__all__ = ["StoreRefused", "open_chosen", "open_store"]
