"""One step: the objective of the four losses, the optimiser, slices of a batch, the memory that it needs."""
