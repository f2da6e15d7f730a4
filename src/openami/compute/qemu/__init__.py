"""Machines as QEMU processes that outlive the server."""
