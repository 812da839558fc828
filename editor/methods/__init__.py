"""Every editing method, and what they share: attention, masks, schedules, batches."""
