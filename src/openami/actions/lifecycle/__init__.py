"""What is done with lifecycle policies, and what they do when their time has come."""
