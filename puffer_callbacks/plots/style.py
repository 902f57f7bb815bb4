"""The look of every figure: a color-blind-safe palette, quiet axes, short step labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito 2008, darkest first; yellow is left out, as it is hard to see on white."""

_LEGEND_LINE, _LEGEND_CHARACTER = 0.6, 0.08
"""Inches of a column of a figure's legend: the line with its margins, and a character of a name."""

_LONG_NAME = 32
"""Characters of a name that a legend beside curves has no room for."""

_RC: Any = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def _colors(*, dark: bool) -> Any:
    """Text and grid, quiet on the background of the style in use."""
    text, grid = ("#BBBBBB", "#333333") if dark else ("#444444", "#E6E6E6")
    return {"axes.labelcolor": text, "xtick.color": text, "ytick.color": text, "grid.color": grid}


def is_dark(color: Any) -> bool:
    """Whether white text is easier to read on a color than black (WCAG's relative luminance, roughly)."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415

    red, green, blue = to_rgb(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5


def new_axes(ax: Axes | None = None, *, size: tuple[float, float] = (6.0, 3.7)) -> Axes:
    """The given axes, or those of a new figure of ``size`` inches.

    Raises:
        ImportError: if matplotlib is not installed; the message names the extra.
    """
    return ax if ax is not None else new_grid(1, 1, size=size)[0]


def new_grid(rows: int, columns: int, *, size: tuple[float, float]) -> list[Axes]:
    """The axes of a new figure of ``size`` inches, row by row.

    Raises:
        ImportError: if matplotlib is not installed; the message names the extra.
    """
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415  # an optional extra
    except ImportError:
        missing = "figures: expected the package matplotlib, which is not installed"
        raise ImportError(f'{missing}; run: pip install "puffer_callbacks[report]"') from None
    with plt.rc_context(_RC | _colors(dark=is_dark(plt.rcParams["figure.facecolor"]))):
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    if _shows_no_window(plt.get_backend()):
        plt.close(figure)  # a notebook shows what is returned; an open figure would be shown a second time
    return list(axes.flat)


def _shows_no_window(backend: str) -> bool:
    return backend.lower() == "agg" or "inline" in backend


def figure_of(ax: Axes) -> Figure:
    """The figure that the axes are part of, also where they are in a subfigure."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("ax: expected axes of a figure, got axes that were removed from theirs")
    return figure


def label(ax: Axes, *, title: str = "", x: str = "", y: str = "", steps: bool = False) -> None:
    """Set title and axis labels; ``steps`` writes the x axis as 50k, 1M."""
    ax.set_title(_shortened(title), loc="left", fontsize=10, fontweight="bold", parse_math=False)
    ax.set_xlabel(x, parse_math=False)
    ax.set_ylabel(y, parse_math=False)
    if steps:
        _label_steps(ax)


def _label_steps(ax: Axes) -> None:
    """Ticks at whole steps, as 50k, 1M; close ones with as many digits as distinguish them."""
    from matplotlib.ticker import Formatter, MaxNLocator  # noqa: PLC0415

    class StepFormatter(Formatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return short_number(x)

        def format_ticks(self, values: Sequence[float]) -> list[str]:
            return short_numbers(values)

    ax.xaxis.set_major_formatter(StepFormatter())
    if isinstance(locator := ax.xaxis.get_major_locator(), MaxNLocator):  # else the ticks are the user's
        locator.set_params(integer=True)


def _shortened(title: str, most: int = 64) -> str:
    """A title of one line that fits above the axes, its middle left out where it is too long."""
    line = " ".join(title.split())
    return line if len(line) <= most else f"{line[: most // 2]}…{line[-most // 2 :]}"


def add_legend(ax: Axes, title: str | None = None, *, color: str | None = None) -> None:
    """A quiet legend where the curves leave room; below the axes where the names are long."""
    text = color or ("#DDDDDD" if is_dark(ax.get_facecolor()) else "#222222")
    longest = max(map(len, ax.get_legend_handles_labels()[1]), default=0)
    below: Any = {"loc": "upper left", "bbox_to_anchor": (0, -0.16)} if longest > _LONG_NAME else {}
    legend = ax.legend(title=title, alignment="left", fontsize=8, title_fontsize=8, labelcolor=text, **below)
    for entry in legend.get_texts():
        entry.set_parse_math(False)
    legend.get_frame().set(edgecolor="none", facecolor=ax.get_facecolor() if title else "none", alpha=0.7)


def add_figure_legend(panels: Sequence[Axes]) -> None:
    """One legend below all panels, of whatever is in any of them, as wide as the figure allows."""
    drawn = {name: handle for ax in panels for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    if not drawn:
        return
    figure = figure_of(panels[0])
    width = figure.get_figwidth()
    names = [_shortened(name, int((width - _LEGEND_LINE) / _LEGEND_CHARACTER)) for name in drawn]
    legend = figure.legend(
        drawn.values(),
        names,
        loc="outside lower center",
        ncols=_legend_columns(names, width),
        fontsize=9,
        frameon=False,
    )
    for entry in legend.get_texts():
        entry.set_parse_math(False)


def legend_height(names: Sequence[str], width: float) -> float:
    """Inches that ``add_figure_legend`` takes of a figure of ``width`` inches."""
    return 0.2 * math.ceil(len(names) / _legend_columns(names, width)) if len(names) > 1 else 0.0


def _legend_columns(names: Sequence[str], width: float) -> int:
    column = _LEGEND_LINE + _LEGEND_CHARACTER * max(map(len, names))
    return max(1, int(width / column))


def add_colorbar(ax: Axes, mesh: Any, name: str) -> None:
    """A bar of the mesh's colors, its text as that of the axes."""
    text = ax.xaxis.label.get_color()
    bar = figure_of(ax).colorbar(mesh, ax=ax, pad=0.02)
    bar.set_label(name, color=text, size=9)
    bar.ax.tick_params(labelsize=8, labelcolor=text)
    bar.outline.set_visible(False)


def curve_style(place: int, name: str, ax: Axes) -> dict[str, Any]:
    """Color, line style and name in the legend of the curve at a place.

    Where the palette begins again, the lines are dashed, then dotted. On dark axes white takes the place of black.
    """
    color = PALETTE[place % len(PALETTE)]
    if color == "#000000" and is_dark(ax.get_facecolor()):
        color = "#FFFFFF"
    linestyle = ("-", "--", ":")[place // len(PALETTE) % 3]
    # matplotlib leaves names that begin with an underscore out of a legend
    return {"color": color, "linestyle": linestyle, "label": f"\u200b{name}" if name.startswith("_") else name}


def short_number(value: float, digits: int = 3) -> str:
    """A number in at most three digits, or as many as are given, and a unit prefix; beyond them a power of ten.

    Example:
        >>> short_number(58368), short_number(1e6), short_number(0.00025), short_number(12), short_number(2e30)
        ('58.4k', '1M', '0.00025', '12', '2e+30')
    """
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if 0.9995 * size <= abs(value) < 0.9995e15:
            return f"{float(f'{value / size:.{digits}g}'):.{max(digits, 6)}g}{prefix}"
    return f"{float(f'{value:.{digits}g}'):.{max(digits, 6)}g}"


def short_numbers(values: Sequence[float]) -> list[str]:
    """Numbers that are read together, in as many digits as distinguish them.

    Example:
        >>> short_numbers([0, 500, 1000]), short_numbers([1_000_000, 1_000_200])
        (['0', '500', '1k'], ['1M', '1.0002M'])
    """
    for digits in range(3, 16):
        labels = [short_number(value, digits) for value in values]
        if len(set(labels)) == len(set(values)):
            break
    return labels
