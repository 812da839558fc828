"""The demo's caption server: it measures drawn pictures and writes five sentences."""
