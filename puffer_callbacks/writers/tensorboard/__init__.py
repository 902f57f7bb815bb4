"""The writer for TensorBoard loggers: one event for each row."""
