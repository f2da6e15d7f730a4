"""The EBS direct APIs' side of the catalog."""
