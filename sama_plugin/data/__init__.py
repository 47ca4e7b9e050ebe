"""Training and benchmark data: sources, mixtures, collation, and the small world of moving shapes."""
