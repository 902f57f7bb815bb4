"""A row in a checkpoint, which ``torch.load`` reads as it does by default: without unpickling a class."""

from enum import IntEnum, StrEnum
from pathlib import Path

import numpy as np
import pytest
import torch

from puffer_callbacks import Histogram, Hyperparameters, Image, Text, Video
from puffer_callbacks.values import Alert
from puffer_callbacks.values.checkpointing import from_states, to_states


class Mode(StrEnum):
    FAST = "fast"


class Size(IntEnum):
    SMALL = 3


PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
SETTINGS = {"rate": np.float64(0.1), "mode": Mode.FAST, "size": Size.SMALL, "is_on": True, "name": np.str_("first")}


def test_values_of_numpy_s_types_and_of_enums_are_read_back(tmp_path: Path) -> None:
    values = {
        "number": np.float64(0.5),
        "text": Text(Mode.FAST),
        "alert": Alert(np.str_("KL is up"), title=Mode.FAST, severity="warning"),
        "settings": Hyperparameters(
            SETTINGS, {"a": np.float64(1.5), "b": None, "c": np.float32(0.5), "d": np.int64(3)}
        ),
    }
    torch.save(to_states(values), tmp_path / "state.pt")
    assert from_states(torch.load(tmp_path / "state.pt", weights_only=True)) == values


@pytest.mark.parametrize(
    "value",
    [
        Image(PIXELS, caption=np.str_("gray")),
        *(Video(PIXELS[None, ...], fps=kind(9)) for kind in (np.float64, np.float32, np.int64)),
    ],
)
def test_pictures_are_read_back(tmp_path: Path, value: Image | Video) -> None:
    torch.save(to_states({"picture": value, "histogram": Histogram.of([1.0])}), tmp_path / "state.pt")
    found = from_states(torch.load(tmp_path / "state.pt", weights_only=True))
    assert type(found["picture"]) is type(value)
    assert found["picture"].caption == value.caption
    assert getattr(found["picture"], "fps", 9.0) == 9.0
    assert found["histogram"] == Histogram.of([1.0])
