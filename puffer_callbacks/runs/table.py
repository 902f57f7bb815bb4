"""Scalar points as a pandas table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.runs.contents import Column

if TYPE_CHECKING:
    import pandas as pd


def scalar_table(columns: Mapping[str, Column]) -> "pd.DataFrame":
    """All points of all tags, a row each: ``tag``, ``step``, ``value``, ``wall_time``.

    Args:
        columns: tag to its points.

    Raises:
        ImportError: if pandas is missing.
    """
    try:
        import pandas as pd  # noqa: PLC0415  # an optional extra
    except ImportError as error:
        raise ImportError("Run.scalars needs pandas: pip install 'puffer_callbacks[runs]'") from error
    points = list(columns.values())
    return pd.DataFrame(
        {
            "tag": np.repeat(np.array(list(columns), dtype=object), [len(column.steps) for column in points]),
            "step": _joined([column.steps for column in points], np.int64),
            "value": _joined([column.values for column in points], np.float64),
            "wall_time": _joined([column.wall_times for column in points], np.float64),
        }
    )


def _joined(parts: Sequence[Any], dtype: type[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([np.array(part, dtype) for part in parts]) if parts else np.zeros(0, dtype)
