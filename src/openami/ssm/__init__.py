"""The front door of AWS Systems Manager parameters: wire names in, one action, wire names out."""
