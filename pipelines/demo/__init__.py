"""The whole pipeline on embedded parts, offline."""
