"""The core that every stage shares; it knows no stage."""
