"""Runs stages on Ray: the cluster, its preflight, the progress, the record of settings."""
