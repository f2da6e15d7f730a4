"""How much accounts have of what is limited."""
