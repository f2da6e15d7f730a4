"""Disks that are read before they are here: the block daemon and how a server speaks with it."""
