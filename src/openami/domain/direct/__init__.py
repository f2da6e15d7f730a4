"""The EBS direct APIs' nouns: what is read and written of snapshots, block by block."""
