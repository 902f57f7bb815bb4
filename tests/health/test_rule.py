import copy
import pickle
from dataclasses import replace

import pytest

from puffer_callbacks.health.rules import RULES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda rule: pickle.loads(pickle.dumps(rule))])
def test_rules_are_copied_and_pickled_with_their_settings(rule, copied):
    assert copied(rule) == rule
    other = replace(rule, severity="info", threshold=0.125)
    assert copied(other) == other
