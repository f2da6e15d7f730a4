"""Images and disks on their way into buckets and out of them, in SQL."""
