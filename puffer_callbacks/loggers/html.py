"""Series as an HTML table for notebooks: the last value and a small curve of each."""

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 160, 28  # px
_POINTS = 120
_MAX_ROWS = 40
"""Further tags are counted in the last row."""

Points = Sequence[tuple[int, float]]


def series_table(series: Mapping[str, Points], *, caption: str = "") -> str:
    """A table with a row for each tag: last value, a curve over the steps, the number of points.

    Args:
        series: tag to (step, value), one or more.
        caption: above the table.

    Example:
        >>> html = series_table({"train/reward": [(0, 1.0), (64, 2.0)]}, caption="2 rows")
        >>> html.count("<tr"), "<svg" in html
        (2, True)
    """
    rows = [_row(tag, points) for tag, points in list(series.items())[:_MAX_ROWS]]
    if len(series) > _MAX_ROWS:
        rows.append(f'<tr><td colspan="4">… and {len(series) - _MAX_ROWS} more tags</td></tr>')
    head = "".join(f'<th style="text-align:{side}">{name}</th>' for name, side in _HEADS)
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f"<table><caption>{escape(caption)}</caption>{body}</table>"


_HEADS = (("tag", "left"), ("last", "right"), ("over the steps", "left"), ("points", "right"))


def _row(tag: str, points: Points) -> str:
    contents = escape(tag), f"{points[-1][1]:.4g}", sparkline(points), len(points)
    cells = (f'<td style="text-align:{side}">{each}</td>' for (_, side), each in zip(_HEADS, contents, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def sparkline(points: Points) -> str:
    """A curve as inline SVG in the color of the text; values that are NaN or infinite are left out.

    Example:
        >>> sparkline([(0, 1.0), (1, 3.0)])[:4]
        '<svg'
    """
    stride = max(1, len(points) // _POINTS)
    shown = [(step, value) for step, value in [*points[:-1:stride], points[-1]] if abs(value) < float("inf")]
    svg = f'<svg width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="currentColor" stroke-width="1.5">{{}}</svg>'
    if not shown:
        return svg.format("")
    first, last = shown[0][0], shown[-1][0]
    low, high = min(value for _, value in shown), max(value for _, value in shown)
    scaled = [
        (
            2 + (_WIDTH - 4) * ((step - first) / (last - first) if last > first else 1),
            2 + (_HEIGHT - 4) * ((high - value) / (high - low) if high > low else 0.5),
        )
        for step, value in shown
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in scaled)
    dot = f'<circle cx="{scaled[-1][0]:.1f}" cy="{scaled[-1][1]:.1f}" r="1.5" fill="currentColor"/>'
    return svg.format(f'<polyline points="{line}"/>{dot}')
