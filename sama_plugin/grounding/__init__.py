"""Stage 6: what a `[SEG]` means, as masks on every frame. The only room that imports `sam2`."""
