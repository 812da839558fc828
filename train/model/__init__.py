"""The model that is trained: MoodifyCLIP over two towers, texts packed without padding, compilation."""
