"""Decisions: pure functions from values to values. No clock, no I/O, no randomness of their own."""
