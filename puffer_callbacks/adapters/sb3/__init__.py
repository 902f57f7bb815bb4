"""Callbacks in Stable-Baselines3."""
