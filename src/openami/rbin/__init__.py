"""The front door of the Recycle Bin: wire names in, one action, wire names out."""
