"""The way of a row from the run to its loggers: retried, on threads of their own, kept until durable.

``default_writer`` shows how the writers are composed.
"""
