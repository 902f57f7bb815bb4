"""Forward passes without side effects."""
