import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from puffer_callbacks.health import diagnose
from puffer_callbacks.health.rules import RULES
from puffer_callbacks.values.vocabulary import VOCABULARY


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda rule: pickle.loads(pickle.dumps(rule))])
def test_rules_are_copied_and_pickled_with_their_settings(rule, copied):
    assert copied(rule) == rule
    other = replace(rule, severity="info", threshold=0.125)
    assert copied(other) == other


@pytest.mark.parametrize("value", [1e300, -1.7e308, 1e-310, np.inf, np.nan])
@pytest.mark.parametrize("shape", [np.ones(100), np.linspace(0.01, 1, 100), np.where(np.arange(100) % 2, 1.0, -1.0)])
def test_every_rule_takes_numbers_at_the_ends_of_float64(value, shape):
    steps = np.arange(1, 101) * 100
    series = {tag.replace("<", "").replace(">", ""): (steps, value * shape) for tag in VOCABULARY}
    diagnosis = diagnose(series)
    assert len(diagnosis.judged) + len(diagnosis.not_judged) == len(RULES)
    assert len(diagnosis.judged) > len(RULES) // 2 or not np.isfinite(value)
