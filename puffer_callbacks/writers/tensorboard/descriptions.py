"""Descriptions of tags, which TensorBoard shows beside their charts."""

from collections.abc import Set

from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_BLOB_SEQUENCE,
    DATA_CLASS_SCALAR,
    DATA_CLASS_TENSOR,
    Summary,
    SummaryMetadata,
)

from puffer_callbacks.values.vocabulary import describe

_PLUGINS = {
    "simple_value": ("scalars", DATA_CLASS_SCALAR),
    "histo": ("histograms", DATA_CLASS_TENSOR),
    "image": ("images", DATA_CLASS_BLOB_SEQUENCE),
}
"""Kind of a value to its plugin and the data's class: TensorBoard's server reads no metadata without one."""


def with_descriptions(summary: bytes, tags: Set[str], *, prefix: str = "") -> bytes:
    """A serialized ``Summary`` whose values of these tags carry what the tag means, its unit and its good range.

    TensorBoard takes the description of the first point of a tag, so that no other point needs it.

    Args:
        summary: the serialized summary.
        tags: the tags to describe, without the prefix; those that are not in the vocabulary stay as they are.
        prefix: what the logger puts before each tag.

    Example:
        >>> row = Summary(value=[Summary.Value(tag="train/entropy", simple_value=0.5)])
        >>> described = with_descriptions(row.SerializeToString(), {"train/entropy"})
        >>> Summary.FromString(described).value[0].metadata.summary_description
        'Mean entropy of the policy. [nats] Good: falls slowly; below 0 is fine if continuous.'
    """
    described = Summary.FromString(summary)
    for value in described.value:
        tag = value.tag.removeprefix(prefix)
        kind = value.WhichOneof("value")
        description = describe(tag) if kind in _PLUGINS and tag in tags else None
        if description is not None:
            plugin, data_class = _PLUGINS[kind]
            plugin_data = SummaryMetadata.PluginData(plugin_name=plugin)
            value.metadata.CopyFrom(
                SummaryMetadata(plugin_data=plugin_data, summary_description=str(description), data_class=data_class)
            )
    serialized: bytes = described.SerializeToString()
    return serialized
