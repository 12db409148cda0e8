"""GPUs that do not exist: a device plugin of Nomad, for development and tests."""
