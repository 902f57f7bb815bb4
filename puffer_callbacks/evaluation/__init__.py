"""Evaluation: the policy of any module, its actions, and recorded episodes."""
