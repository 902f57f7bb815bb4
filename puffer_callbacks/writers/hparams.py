"""TensorBoard's HParams tab: the configuration at the start, the outcome at the end."""

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG, create_summary_metadata
from torch.utils.tensorboard.summary import hparams

from puffer_callbacks.values import Hyperparameters

_STATUS = {"success": api_pb2.STATUS_SUCCESS, "failure": api_pb2.STATUS_FAILURE}


def hparams_summaries(value: Hyperparameters) -> list[Summary.Value]:
    """What the HParams plugin reads: the experiment and the session's start, or the session's end.

    The tab takes each metric from the scalar of the same tag, so naming the tags at the start is enough for it to
    show their last values.

    Args:
        value: the settings; its metrics name the columns beside them.

    Example:
        >>> [entry.tag for entry in hparams_summaries(Hyperparameters({"lr": 0.1}, {"train/reward": None}))]
        ['_hparams_/experiment', '_hparams_/session_start_info']
    """
    if value.status == "running":
        experiment, start, _ = hparams(dict(value.settings), dict.fromkeys(value.metrics, 0.0))
        return [*experiment.value, *start.value]
    end = plugin_data_pb2.SessionEndInfo(status=_STATUS[value.status])
    metadata = create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
    return [Summary.Value(tag=SESSION_END_INFO_TAG, metadata=metadata)]
