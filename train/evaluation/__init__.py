"""How a model is measured while it trains: retrieval and zero-shot naming over held-out samples."""
