"""Where a step runs: the device of a rank, gathering over ranks, operation counts."""
