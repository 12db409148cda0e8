"""The heart, in memory: queues, matching of inputs to slots, leases and timers."""
