"""Objects in buckets: what imports and exports read and write, over S3."""
