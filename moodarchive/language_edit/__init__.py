"""Edits of a language model's weights, one sample at a time, so that it writes the caption of another emotion (EIC)."""
