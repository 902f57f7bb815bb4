"""The writer for CSV loggers."""
