"""Other systems on the same no-op, each run by an interpreter of its own."""
