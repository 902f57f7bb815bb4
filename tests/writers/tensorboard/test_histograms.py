"""The bytes that are written by hand are the message that TensorBoard's own class builds."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

from puffer_callbacks.values import Histogram
from puffer_callbacks.writers.tensorboard.histograms import encode_histograms

DATA = {
    "normal": torch.randn(5000),
    "with a long tag, " + "ß" * 200: torch.randn(300).exp(),
    "empty": torch.zeros(0),
    "all not finite": torch.full((3,), torch.nan),
    "one zero": torch.zeros(1),
    "two values": torch.tensor([-1e30, 1e-30]),
    "denormal": torch.tensor([5e-324, 1e-310, 0.0], dtype=torch.float64),
    "many bins": torch.randn(20_000, dtype=torch.float64).mul(100).exp(),
}


def by_the_class(tag: str, value: Histogram) -> Summary.Value:
    totals = {"num": value.count, "sum": value.sum, "sum_squares": value.sum_squares}
    ends = {"min": value.min, "max": value.max} if value.count else {}
    row = {"bucket_limit": value.edges[1:], "bucket": value.counts.astype(np.float64)}
    return Summary.Value(tag=tag, histo=HistogramProto(**totals, **ends, **row))


def test_all_at_once_as_the_class_builds_them() -> None:
    histograms = {tag: Histogram.of(tensor) for tag, tensor in DATA.items()}
    found = Summary.FromString(encode_histograms(histograms)).value
    assert [value.tag for value in found] == list(DATA)
    for value in found:
        expected = by_the_class(value.tag, histograms[value.tag])
        assert Summary.Value.FromString(value.SerializeToString()) == expected
        assert value.ByteSize() <= expected.ByteSize() + 5 * 9


@given(st.lists(st.floats(), max_size=60))
def test_any_numbers_as_the_class_builds_them(values: list[float]) -> None:
    histogram = Histogram.of(torch.tensor(values, dtype=torch.float64))
    (found,) = Summary.FromString(encode_histograms({"values": histogram})).value
    assert found.SerializeToString(deterministic=True) == by_the_class("values", histogram).SerializeToString(
        deterministic=True
    )


def test_nothing_is_no_bytes() -> None:
    assert encode_histograms({}) == b""
