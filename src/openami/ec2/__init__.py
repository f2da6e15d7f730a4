"""The EC2 front door: wire names in, one action called, wire names out."""
