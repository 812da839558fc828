"""Studies of records in a JSON-lines file: checks of edited pictures with captions, and rankings of candidates."""
