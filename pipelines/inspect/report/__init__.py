"""The report: one page by which a person can judge an archive."""
