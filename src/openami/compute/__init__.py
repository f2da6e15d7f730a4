"""Machines: the driver Protocol and its implementations."""
