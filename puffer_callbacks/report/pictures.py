"""The last pictures and episodes of a run as HTML, within a budget of bytes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from puffer_callbacks.plots.style import short_number
from puffer_callbacks.values import Image, Video
from puffer_callbacks.values.image_files import to_gif, to_png
from puffer_callbacks.values.shrink import shrink_to_bytes

if TYPE_CHECKING:
    from puffer_callbacks.runs import Run

_ALL_BYTES = 750_000  # a third more as base64
_MOST_PICTURES = 12
_WIDE, _DOUBLE, _SMALL = 700, 340, 120  # px


def pictures_html(runs: Sequence[Run], names: Sequence[str]) -> str:
    """A section with the last picture or episode of each tag, or nothing where there are none.

    Args:
        runs: at least one; with several, each picture names its run.
        names: of the runs.
    """
    tags = sorted({tag for run in runs for tag in run.images}, key=lambda tag: (tag != "episodes", tag))
    pairs = list(zip(runs, names, strict=True))
    found = [(tag, name, run.images[tag][-1]) for tag in tags for run, name in pairs if run.images.get(tag)]
    shown = found[:_MOST_PICTURES]
    if not shown:
        return ""
    budget = _ALL_BYTES // len(shown)
    figures = []
    for tag, run, (step, picture) in shown:
        name = f"{tag} · {run}" if len(runs) > 1 else tag
        figures.append(_figure(name, step, shrink_to_bytes(picture, max_bytes=budget)))
    more = f'<p class="muted">{len(found) - len(shown)} more are in the log.</p>' if len(found) > len(shown) else ""
    return f'<h2 id="pictures">Pictures</h2><div class="pictures">{"".join(figures)}</div>{more}'


def _figure(name: str, step: int, picture: Image | Video) -> str:
    height, width = picture.pixels.shape[:2] if isinstance(picture, Image) else picture.frames.shape[1:3]
    source = _data_uri(picture)
    kind = "small" if max(height, width) <= _SMALL else ""
    room = "wide" if width > _WIDE else "double" if width > _DOUBLE else ""
    caption = f"step {short_number(step)}" + (f" · {escape(picture.caption)}" if picture.caption else "")
    size = f'class="{kind}" width="{width}" height="{height}"'
    return (
        f'<figure class="{room}"><h3>{escape(name)}</h3>'
        f'<img {size} src="{source}" alt="{escape(name)}, {caption}" loading="lazy">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _data_uri(picture: Image | Video) -> str:
    kind, encoded = ("png", to_png(picture)) if isinstance(picture, Image) else ("gif", to_gif(picture))
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
