"""Descriptions of tags, which TensorBoard shows beside their charts."""

from collections.abc import Set

from tensorboard.compat.proto.summary_pb2 import Summary

from puffer_callbacks.values.vocabulary import describe

_PLUGINS = {"simple_value": "scalars", "histo": "histograms", "image": "images"}
"""Kind of a value to the plugin that shows it."""


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
        plugin = _PLUGINS.get(value.WhichOneof("value"))
        description = describe(tag) if plugin and tag in tags else None
        if description is not None:
            value.metadata.summary_description = str(description)
            value.metadata.plugin_data.plugin_name = plugin
    serialized: bytes = described.SerializeToString()
    return serialized
