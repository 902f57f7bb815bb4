"""Pictures of arrays, as uint8 pixels."""
