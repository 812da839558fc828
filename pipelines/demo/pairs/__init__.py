"""Drawn scenes in pairs: the same place in another mood, pixel for pixel where the mood changes nothing."""
