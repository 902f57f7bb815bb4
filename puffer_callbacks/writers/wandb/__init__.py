"""The writer for Weights & Biases loggers."""
