"""The 27 emotions, their lexicon of descriptors, and the five-sentence caption."""
