"""What may be chosen and required of instance types."""
