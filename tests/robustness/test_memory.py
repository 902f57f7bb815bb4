"""Memory is flat with every callback on; ``python -m tests.robustness.memory`` is the same over 200,000 steps."""

import sys

import pytest

from tests.robustness.memory import GROWTH, growth, resident, train

STEPS = 4000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.filterwarnings("ignore")  # what is reported of the callbacks is tested elsewhere
def test_memory_is_flat(tmp_path):
    found = train(STEPS, tmp_path, resident)
    assert len(found) == 20
    assert growth(found) <= GROWTH, [each // 2**20 for each in found]


def test_growth_is_found():
    assert growth([100] * 20) == 0.0
    assert growth([100 + at for at in range(20)]) > GROWTH
    assert growth([10, 20, 50, 90, *[100] * 16]) == 0.0  # a warm-up
