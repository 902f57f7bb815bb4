"""The look of every figure: a color-blind-safe palette, quiet axes, short step labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito 2008, darkest first; yellow is left out, as it is hard to see on white."""

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
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if steps:
        from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


def add_legend(ax: Axes, title: str | None = None, *, color: str | None = None) -> None:
    """A quiet legend where the curves leave room."""
    text = color or ("#DDDDDD" if is_dark(ax.get_facecolor()) else "#222222")
    legend = ax.legend(title=title, alignment="left", fontsize=8, title_fontsize=8, labelcolor=text)
    legend.get_frame().set(edgecolor="none", facecolor=ax.get_facecolor() if title else "none", alpha=0.7)


def add_colorbar(ax: Axes, mesh: Any, name: str) -> None:
    """A bar of the mesh's colors, its text as that of the axes."""
    text = ax.xaxis.label.get_color()
    bar = figure_of(ax).colorbar(mesh, ax=ax, pad=0.02)
    bar.set_label(name, color=text, size=9)
    bar.ax.tick_params(labelsize=8, labelcolor=text)
    bar.outline.set_visible(False)


def colors(names: Sequence[str], ax: Axes) -> Mapping[str, str]:
    """A color for each name, white for black on dark axes; after the last one the palette begins again."""
    palette = [*PALETTE[:-1], "#FFFFFF" if is_dark(ax.get_facecolor()) else PALETTE[-1]]
    return {name: palette[place % len(palette)] for place, name in enumerate(names)}


def short_number(value: float) -> str:
    """A number in at most three digits and a unit prefix.

    Example:
        >>> short_number(58368), short_number(1e6), short_number(0.00025), short_number(12)
        ('58.4k', '1M', '0.00025', '12')
    """
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            return f"{float(f'{value / size:.3g}'):g}{prefix}"
    return f"{float(f'{value:.3g}'):g}"
