"""The host seam: everything that knows LLaVA-NeXT, and the only room that imports `llava`."""
