"""Pictures and texts as TensorBoard's summaries."""

import re

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

from puffer_callbacks.values import Image, Text, Video
from puffer_callbacks.values.image_files import to_gif, to_png

_LINK = re.compile(r"\](?=\s*[(\[:])")
"""The bracket that turns bracketed text into a link, a picture or a reference."""


def encode(tag: str, value: Image | Video | Text) -> Summary.Value:
    """One value as TensorBoard stores it; a video is an animated GIF, which the image tab plays.

    Args:
        tag: its tag.
        value: what to store.

    Example:
        >>> encode("run/ended_by", Text("KeyboardInterrupt")).tensor.string_val[0]
        b'KeyboardInterrupt'
    """
    if isinstance(value, Image):
        return Summary.Value(tag=tag, image=_image(value, to_png(value)))
    if isinstance(value, Video):
        return Summary.Value(tag=tag, image=_image(value, to_gif(value)))
    return _text(tag, value)


def _image(value: Image | Video, encoded: bytes) -> Summary.Image:
    height, width, channels = (value.pixels if isinstance(value, Image) else value.frames[0]).shape
    return Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)


def _text(tag: str, value: Text) -> Summary.Value:
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[_as_plain_text(value.text).encode(errors="replace")],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    return Summary.Value(tag=f"{tag}/text_summary", metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)


def _as_plain_text(text: str) -> str:
    """The text escaped: TensorBoard renders Markdown and HTML, and a run's text must add no link or picture."""
    return _LINK.sub("&#93;", text.replace("<", "&lt;"))
