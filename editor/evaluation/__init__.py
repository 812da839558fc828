"""Measures edited pictures as the papers do: structure, background, text, emotion; and shows them side by side."""
