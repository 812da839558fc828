"""The forms in which lists are written, each read as chunks of texts by column."""
