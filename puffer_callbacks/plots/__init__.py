"""Figures that the field expects, drawn with matplotlib: each function returns the figure and takes an ``ax``."""

from puffer_callbacks.plots.curves import compare, learning_curves
from puffer_callbacks.plots.diagnostics import PANELS, diagnostics
from puffer_callbacks.plots.histograms import histogram_heatmap, histogram_ridges
from puffer_callbacks.plots.profiles import performance_profiles, probability_of_improvement
from puffer_callbacks.plots.scores import final_scores
from puffer_callbacks.plots.statistics import bootstrap_interval, interquartile_mean
from puffer_callbacks.plots.sweep import by_hyperparameter

__all__ = [
    "PANELS",
    "bootstrap_interval",
    "by_hyperparameter",
    "compare",
    "diagnostics",
    "final_scores",
    "histogram_heatmap",
    "histogram_ridges",
    "interquartile_mean",
    "learning_curves",
    "performance_profiles",
    "probability_of_improvement",
]
