"""People and programs judge the archive."""
