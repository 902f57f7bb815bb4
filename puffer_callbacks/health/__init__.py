"""What is wrong with a run: rules over its series, with causes and remedies."""

from puffer_callbacks.health.diagnosis import diagnose
from puffer_callbacks.health.facts import Facts
from puffer_callbacks.health.finding import Diagnosis, Finding, Number, Severity
from puffer_callbacks.health.rule import Rule
from puffer_callbacks.health.rules import RULES
from puffer_callbacks.health.rules.selection import selected_rules
from puffer_callbacks.health.series import Series

__all__ = [
    "RULES",
    "Diagnosis",
    "Facts",
    "Finding",
    "Number",
    "Rule",
    "Series",
    "Severity",
    "diagnose",
    "selected_rules",
]
