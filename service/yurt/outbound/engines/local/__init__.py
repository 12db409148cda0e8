"""Containers as subprocess trees of this machine."""
