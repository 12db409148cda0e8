"""Speed and memory, measured on this machine: ratios to a bare server in the same run. Never part of the tests."""
