"""The values of TensorBoard's summaries, of the old kind and of the new one, in which all are tensors of a plugin."""

from functools import partial
from typing import Any

import numpy as np
from tensorboard.util.tensor_util import make_ndarray

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.media import decode_picture, histogram_of_buckets
from puffer_callbacks.values import Histogram

_HPARAMS_KINDS = ("number_value", "string_value", "bool_value")


def add_summary(contents: Contents, value: Any, plugin: str, step: int, wall_time: float) -> None:
    """Add a value to the contents of a run; other kinds, such as audio, are ignored.

    Args:
        contents: what to add to.
        value: a ``Summary.Value``.
        plugin: the TensorBoard plugin of the tag.
        step: its step.
        wall_time: in seconds since the epoch.
    """
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        contents.column(value.tag).add(step, value.simple_value, wall_time)
    elif kind == "histo":
        contents.histograms.setdefault(value.tag, []).append((step, partial(_histogram, value.histo)))
    elif kind == "image":
        picture = partial(decode_picture, value.image.encoded_image_string)
        contents.images.setdefault(value.tag, []).append((step, picture))
    elif plugin == "hparams":
        _add_hyperparameters(contents, value.metadata.plugin_data.content)
    elif kind == "tensor":
        _add_tensor(contents, value, plugin, step, wall_time)


def _add_tensor(contents: Contents, value: Any, plugin: str, step: int, wall_time: float) -> None:
    if plugin == "scalars":
        number = float(make_ndarray(value.tensor).reshape(-1)[0])
        contents.column(value.tag).add(step, number, wall_time)
    elif plugin == "histograms":
        contents.histograms.setdefault(value.tag, []).append((step, partial(_histogram_of_tensor, value.tensor)))
    elif plugin == "images":
        _, _, *pictures = value.tensor.string_val  # width and height come first
        for picture in pictures:
            contents.images.setdefault(value.tag, []).append((step, partial(decode_picture, picture)))
    elif plugin == "text":
        texts = contents.text.setdefault(value.tag.removesuffix("/text_summary"), [])
        texts.extend((step, _plain(text.decode(errors="replace"))) for text in value.tensor.string_val)


def _plain(text: str) -> str:
    """The text without what our writer escapes in it, as TensorBoard shows it."""
    return text.replace("&#93;", "]").replace("&lt;", "<")


def _histogram(histogram: Any) -> Histogram:
    """The first bucket begins at the minimum, whatever limit its writer gives it, and the last ends at the maximum."""
    counts = np.asarray(histogram.bucket, np.float64)
    rights = np.asarray(histogram.bucket_limit, np.float64)
    lefts = np.concatenate([[histogram.min], rights[:-1]])
    return histogram_of_buckets(
        lefts, rights, counts, (histogram.min, histogram.max, histogram.sum, histogram.sum_squares)
    )


def _histogram_of_tensor(tensor: Any) -> Histogram:
    lefts, rights, counts = make_ndarray(tensor).reshape(-1, 3).astype(np.float64).T
    return histogram_of_buckets(lefts, rights, counts)


def _add_hyperparameters(contents: Contents, content: bytes) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # noqa: PLC0415  # most runs have none

    start = HParamsPluginData.FromString(content).session_start_info
    for name, value in start.hparams.items():
        kind = value.WhichOneof("kind")
        if kind in _HPARAMS_KINDS:
            contents.hyperparameters[name] = getattr(value, kind)
