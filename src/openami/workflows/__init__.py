"""What takes long: one file per durable operation; every step safe to repeat."""
