"""Which images are judged: the frame, the allocation to strata, the draw, the gold items."""
