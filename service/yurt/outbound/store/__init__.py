"""The durable store on SQLite: `open_store` gives a `yurt.ports.Store`, or raises `StoreRefused`."""

from yurt.outbound.store.errors import StoreRefused
from yurt.outbound.store.store import open_store

__all__ = ["StoreRefused", "open_store"]
