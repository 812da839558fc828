"""The stock sites' adapters, one a file."""
