"""The durable store on PostgreSQL."""
