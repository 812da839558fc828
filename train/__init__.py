"""Sealed shards stream into MoodifyCLIP."""
