"""How a stage runs: its declaration, its part logs, ordered and parallel maps, metrics."""
