"""The command line: ``puffer-callbacks``."""

from puffer_callbacks.cli.main import main

__all__ = ["main"]
