"""Generated tables that are real in shape, for measurements of what no test can afford."""
