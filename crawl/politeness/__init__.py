"""Rate limits, quotas, robots.txt and the circuit breaker: what a host is asked, and how often."""
