"""What is done with what an instance is and has, beside its life."""
