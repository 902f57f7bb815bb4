"""Histograms in fixed bins: the bins, the value, counting, merging over ranks."""

from puffer_callbacks.histogram.histogram import Histogram

__all__ = ["Histogram"]
