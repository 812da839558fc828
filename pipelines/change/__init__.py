"""A sealed archive changes on request: takedowns and pruning, each resumable, ending in a new seal."""
