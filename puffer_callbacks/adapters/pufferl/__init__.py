"""Callbacks in PufferLib's PuffeRL."""
