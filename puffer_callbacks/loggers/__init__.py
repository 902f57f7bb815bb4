"""Lightning loggers for the console and for memory."""

from puffer_callbacks.loggers.console import ConsoleLogger
from puffer_callbacks.loggers.memory import MemoryLogger

__all__ = ["ConsoleLogger", "MemoryLogger"]
