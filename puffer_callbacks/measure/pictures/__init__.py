"""Pictures of what tensors hold: pure functions from arrays to images."""
