"""Rendering of arrays to uint8 pixels."""
