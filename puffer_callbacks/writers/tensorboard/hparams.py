"""Hyperparameters for TensorBoard's HParams tab: settings at the start, the outcome at the end."""

from time import time
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from puffer_callbacks.values import Hyperparameters, Setting
from puffer_callbacks.values.comparison import compared_first

_STATUS = {"success": api_pb2.STATUS_SUCCESS, "failure": api_pb2.STATUS_FAILURE}
_KINDS = {
    bool: ("bool_value", api_pb2.DATA_TYPE_BOOL),
    str: ("string_value", api_pb2.DATA_TYPE_STRING),
    float: ("number_value", api_pb2.DATA_TYPE_FLOAT64),
}
_SHOWN = 5
"""Columns that the HParams tab opens with."""


def hparams_summaries(value: Hyperparameters) -> list[Summary.Value]:
    """Hyperparameters as the HParams plugin reads them: the experiment and a session's start, or its end.

    The tab takes each metric from the scalar of the same tag, so that the tags at the start are enough for it to
    show their last values.

    Args:
        value: the settings, and the tags of the metrics that are shown beside them.

    Example:
        >>> [entry.tag for entry in hparams_summaries(Hyperparameters({"lr": 0.1}, {"train/reward": None}))]
        ['_hparams_/experiment', '_hparams_/session_start_info']
    """
    if value.status != "running":
        end = SessionEndInfo(status=_STATUS[value.status], end_time_secs=time())
        return [_summary(metadata.SESSION_END_INFO_TAG, session_end_info=end)]
    start = SessionStartInfo(start_time_secs=time())
    experiment = api_pb2.Experiment()
    first = compared_first(value.settings)[:_SHOWN]
    for name, setting in value.settings.items():
        field, kind = _kind(setting)
        setattr(start.hparams[name], field, setting)
        # the tab lists those that differ between runs first, and then goes by the alphabet
        experiment.hparam_infos.add(name=name, type=kind, differs=name in first)
    for tag in value.metrics:
        experiment.metric_infos.add(name=api_pb2.MetricName(tag=tag))
    return [
        _summary(metadata.EXPERIMENT_TAG, experiment=experiment),
        _summary(metadata.SESSION_START_INFO_TAG, session_start_info=start),
    ]


def _kind(setting: Setting) -> tuple[str, int]:
    return next((kind for of, kind in _KINDS.items() if isinstance(setting, of)), _KINDS[float])


def _summary(tag: str, **data: Any) -> Summary.Value:
    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(HParamsPluginData(**data)))
