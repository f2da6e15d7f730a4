"""What is done with snapshots once they are there: locked, moved between tiers, kept at hand."""
