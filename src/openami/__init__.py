"""openami: a self-hosted, EC2-compatible machine-image service that boots what it stores."""

__version__ = "0.1.0"
