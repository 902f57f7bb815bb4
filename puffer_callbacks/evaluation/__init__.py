"""Evaluation episodes: the policy of any module, its actions, one recorded episode."""
