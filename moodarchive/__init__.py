"""The core that every stage shares; it knows no stage."""

__version__ = "0.1.0"
