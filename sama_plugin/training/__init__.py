"""Training on the host's trainer: what is frozen, which losses, which data; and the tiny preset from nothing."""
