"""The writer for TensorBoard loggers."""
