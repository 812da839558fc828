"""The vLLM servers that a run starts, watches and ends itself."""
