"""Training, evaluation and the card of a MoodifyCLIP."""
