"""The door for containers."""
