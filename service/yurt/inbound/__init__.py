"""The doors: REST and the sessions of containers."""
