"""How often a caller may ask, and how much it may have."""
