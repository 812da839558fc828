"""Results from outside become answers: the import, and the table that it fills."""
