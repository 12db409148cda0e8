"""Endless tasks: observe, decide, apply."""
