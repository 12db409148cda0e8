"""The durable store on SQLite."""
