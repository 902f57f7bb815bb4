"""The layout of TensorBoard's Custom Scalars tab: one page that shows the whole run."""

import re
from collections.abc import Mapping

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

_Charts = Mapping[str, tuple[str, ...]]
"""Title of a chart to the tags of its curves."""

_LOSSES: _Charts = {
    "Policy loss": ("losses/policy",),
    "Whole loss": ("train/loss",),
    "Gradient norm before the clip": ("gradient_norm/total",),
}
_SPEED: _Charts = {
    "Env steps per second": ("throughput/sps",),
    "Logging, % of the run's time": ("logging/overhead_pct",),
}
_SPREAD = "Return of a rollout: median, p10 to p90"
_CATEGORIES: dict[str, _Charts] = {
    "Returns": {
        "Return of the last 100 episodes": ("rollout/return_last_100",),
        _SPREAD: ("rollout/return_median", "rollout/return_p10", "rollout/return_p90"),
        "Episode length [steps]": ("train/episode_length",),
    },
    "Losses": _LOSSES,
    "Policy health": {
        "KL [nats]: good 0.001 to 0.02": ("diagnostics/approx_kl",),
        "Clip fraction: good 0.05 to 0.3": ("diagnostics/clip_fraction",),
        "Entropy [nats]: falls slowly": ("train/entropy",),
    },
    "Critic": {
        "Value loss": ("losses/value",),
        "Explained variance: rises to 1": ("diagnostics/explained_variance",),
    },
    "Speed": _SPEED,
}
_WITHOUT_ENVIRONMENT: dict[str, _Charts] = {
    "Losses": {"Loss": ("train/loss",), "Learning rate": ("train/learning_rate",)},
    "Gradients": {"Gradient norm before the clip": ("gradient_norm/total",)},
    "Speed": {**_SPEED, "Optimizer steps per second": ("throughput/sps",)},
}


def layout_summary(prefix: str = "", *, has_environment: bool = True) -> Summary.Value:
    """The layout as the Custom Scalars plugin reads it: returns, losses, policy health, critic and speed.

    Args:
        prefix: what the logger puts before each tag.
        has_environment: whether the run counts environment steps; without them there are losses and speed alone.

    Example:
        >>> layout_summary().tag
        'custom_scalars__config__'
    """
    layout = layout_pb2.Layout()
    for title, charts in (_CATEGORIES if has_environment else _WITHOUT_ENVIRONMENT).items():
        category = layout.category.add(title=title)
        category.chart.extend(_chart(name, [prefix + tag for tag in tags]) for name, tags in charts.items())
    tensor = TensorProto(dtype=DT_STRING, string_val=[layout.SerializeToString()])
    return Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, metadata=metadata.create_summary_metadata(), tensor=tensor)


def _chart(title: str, tags: list[str]) -> layout_pb2.Chart:
    if title == _SPREAD:
        value, lower, upper = tags
        series = layout_pb2.MarginChartContent.Series(value=value, lower=lower, upper=upper)
        return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))
    patterns = [f"^{re.escape(tag)}$" for tag in tags]
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=patterns))
