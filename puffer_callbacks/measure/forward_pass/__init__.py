"""A forward pass that leaves nothing behind."""
