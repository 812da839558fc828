"""People judge the archive: a sample is drawn, asked about in three ways, and its answers become verdicts."""
