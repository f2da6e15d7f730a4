"""The instance metadata service, versions 1 and 2, as the guests of EC2 know it."""
