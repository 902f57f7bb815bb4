"""The writer for Weights & Biases loggers: one history row for each row."""
