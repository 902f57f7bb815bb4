"""The writer for CSV loggers: one line for each row, pictures as files beside it."""
