"""Statistics of rollouts, updates and weights that the rules judge: pure functions, one number a tag."""

from puffer_callbacks.health.statistics.collector import Collector
from puffer_callbacks.health.statistics.rollout import rollout_statistics

__all__ = ["Collector", "rollout_statistics"]
