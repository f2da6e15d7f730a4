"""The EBS direct APIs: snapshots read and written block by block."""
