"""Emotions become descriptors, descriptors become candidates, candidates become images."""
