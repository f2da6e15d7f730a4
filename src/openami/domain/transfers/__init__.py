"""Images in buckets: on their way there, and back."""
