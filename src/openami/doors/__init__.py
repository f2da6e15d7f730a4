"""What all front doors have in common."""
