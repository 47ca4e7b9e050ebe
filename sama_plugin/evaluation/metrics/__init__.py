"""Measures of masks and of text, each a plain function of arrays or strings, as fractions in [0, 1]."""

from sama_plugin.evaluation.metrics.contour_accuracy import contour_accuracy
from sama_plugin.evaluation.metrics.region_similarity import region_similarity

__all__ = ["contour_accuracy", "region_similarity"]
