"""Two nodes over two network namespaces: one of them is killed, and the other ends with all that both have done."""

import pytest

from tests.robustness import nodes
from tests.robustness.ranks import ENV_STEPS, WORLD


def test_a_killed_node_leaves_the_rows_of_both_and_the_reason(tmp_path):
    try:
        (status, killed), output = nodes.run("killed", tmp_path)
    except PermissionError as error:
        pytest.skip(str(error))
    assert status != 0 and killed != 0, output[-3000:]
    left = nodes.found(tmp_path)
    assert left["writers"] == ["rank0"]
    rollouts = nodes.LOST_AT // 16 + 1  # one every 16 batches
    steps = [WORLD * ENV_STEPS * (at + 1) for at in range(rollouts)]
    assert left["rows"] == {"tensorboard": steps, "csv": steps}
    assert left["env_steps"] == steps
    # of both up to batch 20, and of node 0 alone the two steps of the interval that was cut short
    assert left["train/rank"] == pytest.approx([0.5, 0.5 * 8 / 10])
    assert "onnection" in left["ended_by"]
