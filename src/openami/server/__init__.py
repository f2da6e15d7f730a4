"""The ASGI edge: one request from first byte to last."""
