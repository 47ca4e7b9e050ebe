"""One file per corpus: raw files → `Sample`, nothing else."""
