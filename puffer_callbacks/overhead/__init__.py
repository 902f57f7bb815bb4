"""The cost of recording: measured, guarded, bounded."""
