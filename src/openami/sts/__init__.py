"""The STS front door: who am I."""
