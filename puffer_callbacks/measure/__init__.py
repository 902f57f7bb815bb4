"""Measurements: functions of tensors and modules, without a trainer or logger."""
