"""A real cluster on this machine: Consul, a Nomad server and Nomad nodes, each a process of its own."""
