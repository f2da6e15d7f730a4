"""Chunks in a bucket of any S3."""
