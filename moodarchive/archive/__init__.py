"""An archive as a whole: its manifest, its takedown list, its single writer, what was pruned."""
