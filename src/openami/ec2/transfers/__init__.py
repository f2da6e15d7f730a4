"""Images and disks into buckets and out of them, as EC2 names it."""
