"""Requests to hosts that nobody vetted: addresses, deadlines, search answers, pictures."""
