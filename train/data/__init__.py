"""What training reads: sealed archives and verified sets, the order of their samples, streams, decoded batches."""
