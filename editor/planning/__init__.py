"""From a photo and an emotion to an edit plan: the prompt and the region."""
