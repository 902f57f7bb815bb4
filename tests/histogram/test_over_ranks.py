"""Two real processes over gloo: shards add up to the whole, and nothing counts twice."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from puffer_callbacks.histogram.over_ranks import histograms_over_ranks
from puffer_callbacks.values import Histogram
from puffer_callbacks.values.checkpointing import from_state
from tests.histogram import ranks

Found = dict[str, dict[str, Histogram]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def both(folder: Path) -> list[Found]:
    command = [sys.executable, "-m", "tests.histogram.ranks"]
    processes = [subprocess.Popen([*command, str(rank), str(folder)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    loaded = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return [{case: {n: from_state(p) for n, p in each.items()} for case, each in found.items()} for found in loaded]


def same_bits(found: Histogram, whole: Histogram) -> None:
    assert np.array_equal(found.bins, whole.bins)
    assert np.array_equal(found.bin_counts, whole.bin_counts)
    assert (found.count, found.nonfinite, found.min, found.max) == (
        whole.count,
        whole.nonfinite,
        whole.min,
        whole.max,
    )
    assert np.array_equal(found.edges, whole.edges)
    assert found.sum == pytest.approx(whole.sum, rel=1e-12, abs=1e-15)
    assert found.sum_squares == pytest.approx(whole.sum_squares, rel=1e-12)


def test_both_ranks_find_the_same(both: list[Found]) -> None:
    assert both[0] == both[1]


def test_shards_are_the_whole_model_bit_for_bit(both: list[Found]) -> None:
    whole = Histogram.of_all(ranks.weights(ranks.model()))
    for name, histogram in whole.items():
        same_bits(both[0]["fsdp"][name], histogram)


def test_data_parallel_weights_and_gradients_count_once(both: list[Found]) -> None:
    net = ranks.model()
    for name, histogram in Histogram.of_all(ranks.weights(net)).items():
        same_bits(both[0]["ddp"][name], histogram)
    for name, tensor in ranks.plain().items():
        for case in ("ddp", "fsdp"):
            found = both[0][case][name]
            assert found.count == tensor.numel()
            assert found.sum_squares == pytest.approx(float(tensor.detach().double().square().sum()), rel=1e-3)


def test_any_placement_counts_each_element_once(both: list[Found]) -> None:
    whole = Histogram.of(torch.arange(35.0))
    for histogram in both[0]["placed"].values():
        same_bits(histogram, whole)


def test_what_each_rank_has_of_its_own_adds_up(both: list[Found]) -> None:
    assert both[0]["own"]["returns"] == Histogram.of(torch.tensor([0.0, 1.0, 1.0]))
    assert both[0]["own"]["odd"].nonfinite == 4


def test_without_processes_it_is_of_all() -> None:
    assert histograms_over_ranks({"x": torch.ones(3)}, replicated=True) == Histogram.of_all({"x": torch.ones(3)})


@pytest.mark.usefixtures("both")
def test_partial_sums_are_refused_by_name(folder: Path) -> None:
    expected = "sums: expected shards or replicas, got (Partial(sum),); redistribute partial sums first"
    assert (folder / "0.txt").read_text() == expected
