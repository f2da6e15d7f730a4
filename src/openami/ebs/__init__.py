"""The front door of the EBS direct APIs: wire names in, one action, wire names out."""
