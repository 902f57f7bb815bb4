"""Bytes that are put together are what protocol buffers write."""

import pytest
import torch
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from puffer_callbacks.values import Histogram
from puffer_callbacks.writers.tensorboard.histograms import encode_histograms
from puffer_callbacks.writers.tensorboard.protobuf import event, field


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 3_000_000])
def test_a_field_is_as_protocol_buffers_write_it(size):
    tag = "x" * size
    assert field(1, tag.encode()) == (Summary.Value(tag=tag).SerializeToString() if size else b"\n\x00")


def test_an_event_is_as_protocol_buffers_write_it():
    scalars = Summary(value=[Summary.Value(tag="train/loss", simple_value=0.5)])
    histogram = Summary.FromString(encode_histograms({"weights": Histogram.of(torch.randn(100))}))
    whole = Event(step=10, wall_time=12.5, summary=Summary(value=[*scalars.value, *histogram.value]))
    parts = scalars.SerializeToString() + histogram.SerializeToString()
    assert event(10, 12.5, parts) == whole.SerializeToString()


@pytest.mark.parametrize("values", [torch.zeros(64), torch.ones(64), torch.tensor([-1.0, 1.0]), torch.randn(64)])
def test_a_histogram_takes_no_more_bytes_than_protocol_buffers_take_for_it(values):
    ours = encode_histograms({"weights": Histogram.of(values)})
    assert len(ours) == len(Summary.FromString(ours).SerializeToString())
