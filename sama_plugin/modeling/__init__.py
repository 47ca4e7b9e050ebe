"""The network parts SAMA adds to a LLaVA model: plain torch, no host, no SAM2."""
