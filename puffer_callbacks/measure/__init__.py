"""Pure functions over tensors: no trainer, no logger."""
