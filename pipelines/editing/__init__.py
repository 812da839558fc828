"""Photos in, edited photos out: single edits, pairs, and their evaluation."""
