"""Scores and the harness that makes them: a benchmark and something that answers in, a results file out."""
