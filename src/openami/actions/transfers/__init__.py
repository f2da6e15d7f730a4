"""Images into buckets, and out of them."""
