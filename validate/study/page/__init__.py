"""Our own page: a team answers a study in the browser, one link each."""
