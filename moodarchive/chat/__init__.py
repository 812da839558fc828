"""The client of served models that speak the OpenAI chat API."""
