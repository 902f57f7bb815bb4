"""Configurations as flat settings, without secrets."""
