"""EmoPair (arXiv 2403.08255): pairs of pictures and what leads from one to the other, as a sealed set of shards."""
