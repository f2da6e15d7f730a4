"""The front door of Data Lifecycle Manager: wire names in, one action, wire names out."""
