"""The width of text in a terminal."""

import shutil

WIDTH = 80
"""Characters, where there is room and in files."""
_LEAST = 40


def terminal_width() -> int:
    """The width of the terminal or of ``COLUMNS`` in characters, between 40 and 80; 80 where there is no terminal."""
    return min(WIDTH, max(_LEAST, shutil.get_terminal_size((WIDTH, 24)).columns))
