"""One file per benchmark: which questions it asks, and what its answers are worth."""
