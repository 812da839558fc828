"""Seeded, licence-free drawn pictures whose emotion, context and stimuli are known."""
