"""The folders that other programs load, as they are written out by ``moodarchive integrate``."""
