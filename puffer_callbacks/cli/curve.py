"""A curve in the terminal, drawn with braille characters."""

from collections.abc import Sequence

import numpy as np

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each of the 4 x 2 dots of a braille character (Unicode 13, U+2800)."""


def braille_curve(values: Sequence[float], *, width: int = 50, height: int = 4) -> list[str]:
    """The lines of a small chart, its largest and smallest value on the left.

    Args:
        values: at equal distances; at least one. Where one is NaN or infinite, the curve has a gap.
        width: characters of the curve; each is 2 dots wide.
        height: lines; each is 4 dots high.

    Example:
        >>> braille_curve([0.0, 1.0, 2.0, 3.0], width=2, height=1)
        ['3.00 ┤⡠⠊']
    """
    points = np.interp(np.linspace(0, len(values) - 1, 2 * width), range(len(values)), _means(values, 2 * width))
    columns = np.flatnonzero(np.isfinite(points))
    points = points[columns]
    low, high = (points.min(), points.max()) if len(points) else (np.nan, np.nan)
    rows = np.round((high - points) / ((high - low) or 1.0) * (4 * height - 1)).astype(int)
    if low == high:
        rows[:] = 4 * height - 1
    dots = np.zeros((4 * height, 2 * width), bool)
    dots[rows, columns] = True
    cells = dots.reshape(height, 4, width, 2).transpose(0, 2, 1, 3)
    lines = ["".join(chr(0x2800 + int((cell * _DOTS).sum())) for cell in line) for line in cells]
    labels = [rounded(high), *[""] * (height - 2), rounded(low)][:height]
    margin = max(map(len, labels))
    return [f"{label:>{margin}} ┤{line}" for label, line in zip(labels, lines, strict=True)]


def rounded(value: float) -> str:
    """A return with one decimal, or three significant digits where it is small.

    Example:
        >>> rounded(500), rounded(-1263.28), rounded(0.0301), rounded(0)
        ('500.0', '-1263.3', '0.0301', '0.00')
    """
    return f"{value:#.3g}" if abs(value) < 10 else f"{value:.1f}"


def _means(values: Sequence[float], most: int) -> list[float]:
    """The values smoothed so that ``most`` points of them show each value."""
    window = max(1, len(values) // most)
    kernel = np.ones(window) / window
    padded = np.pad(np.asarray(values, float), (window // 2, window - 1 - window // 2), mode="edge")
    return list(np.convolve(padded, kernel, mode="valid"))
