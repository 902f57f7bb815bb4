"""Configurations as flat settings, with secrets redacted."""
