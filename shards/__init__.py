"""What is kept becomes WebDataset shards, and the sealed archive describes itself."""
