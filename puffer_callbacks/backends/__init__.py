"""The backends of a run: rows go to every logger, on threads of their own, with retries."""
