"""EPEM's picture half (PER): an adapter that learns to follow an edited caption and to keep the picture."""
