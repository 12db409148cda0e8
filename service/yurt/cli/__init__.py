"""The command `yurt`."""
