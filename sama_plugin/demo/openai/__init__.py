"""`/v1`: the endpoint that OpenAI's clients know, on the same sessions as the page."""
