"""Emotions become descriptors: the phrases that the sources are asked for."""
