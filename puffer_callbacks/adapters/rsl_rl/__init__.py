"""Callbacks in rsl_rl."""
