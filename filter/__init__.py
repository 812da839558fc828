"""Unsafe, unlike, repeated and taken-down rows are cut, each with its reason."""
