"""The instance metadata service that guests ask at 169.254.169.254."""
