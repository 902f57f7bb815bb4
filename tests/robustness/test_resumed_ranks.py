"""Two real processes that continue a checkpoint log what they would have logged without it."""

import json
import math
import subprocess
import sys

import pytest

from tests.support import resumed_ranks


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What each run logged, by its name: tag to points."""
    folder = tmp_path_factory.mktemp("ranks")
    subprocess.run([sys.executable, resumed_ranks.__file__, folder], check=True, timeout=240, capture_output=True)
    files = [*folder.glob("*.json")]
    return {file.stem: {t: [tuple(p) for p in s] for t, s in json.loads(file.read_text()).items()} for file in files}


def timeless(tags):
    return {
        tag: points for tag, points in tags.items() if not tag.startswith(("time/elapsed", "throughput", "logging"))
    }


@pytest.mark.parametrize("cut", resumed_ranks.CUTS)
def test_as_many_ranks_log_what_one_run_of_them_does(runs, cut):
    whole, resumed = timeless(runs["whole"]), timeless(runs[f"two_to_two_{cut}"])
    first = min(step for points in resumed.values() for step, _ in points)  # the row that was open, and those after it
    assert {"train/reward", "train/value", "nonfinite/train/odd", "rollout/rewards", "gradient_norm/total"} <= set(
        whole
    )
    for tag, points in whole.items():
        expected = [(step, value if isinstance(value, list) else pytest.approx(value)) for step, value in points]
        assert resumed.get(tag, []) == [point for point in expected if point[0] >= first], tag


@pytest.mark.parametrize("cut", resumed_ranks.CUTS)
@pytest.mark.parametrize(("name", "ranks"), [("one_to_two", (1, 2)), ("two_to_one", (2, 1))])
def test_another_number_of_ranks_continues_the_interval(runs, name, ranks, cut):
    """The interval that ends at the optimizer step 15 is the mean over what each step was logged by then."""
    resumed = runs[f"{name}_{cut}"]
    values = [at + 1000 * rank for at in range(10, 15) for rank in range(ranks[at >= cut])]
    steps = dict(resumed["time/optimizer_steps"])
    ends = [value for x, value in resumed["train/value"] if steps[x] >= 15]
    assert ends[0] == pytest.approx(sum(values) / len(values))
    odd = [math.nan for at in range(15) for rank in range(ranks[at >= cut]) if (at + rank) % 3 == 0]
    assert next(value for x, value in resumed["nonfinite/train/odd"] if steps[x] >= 15) == len(odd)


@pytest.mark.parametrize("cut", resumed_ranks.CUTS)
def test_another_number_of_ranks_loses_no_rollout(runs, cut):
    """Between two checkpointed rollouts each has 32 rewards; two ranks have 64."""
    counts = [sum(counts) for _, (_, counts) in runs[f"one_to_two_{cut}"]["rollout/rewards"]]
    assert set(counts) <= {16, 32} and counts[-1] == 32
    counts = [sum(counts) for _, (_, counts) in runs[f"two_to_one_{cut}"]["rollout/rewards"]]
    assert set(counts) <= {16, 32} and counts[-1] == 16
    if cut == 12:  # rollouts at 12 are in the checkpoint, and not yet gathered
        assert "train/reward" in runs["two_to_one_12"]


def test_ranks_that_end_rollouts_at_other_steps_do_not_wait_for_each_other(runs):
    counts = {x: sum(counts) for x, (_, counts) in runs["ragged"]["rollout/rewards"]}
    assert len(counts) >= 3 and set(counts.values()) <= {16, 32}
