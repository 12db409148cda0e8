"""Adapters to the outside: store, blobs, logs, engines."""
