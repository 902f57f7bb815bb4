"""Attention weights of a forward pass."""
