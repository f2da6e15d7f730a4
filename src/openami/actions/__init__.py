"""What can be asked: one function per EC2 operation, one transaction, one decision."""
