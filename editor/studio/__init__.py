"""The editor's web page, for one person on one machine."""
