"""Scores and the harness that makes them; what comes in is a benchmark and something that answers, never a model."""
