"""Text on its way into and out of the LLM: placeholders, templates, slots, answers."""
