"""botocore's models, read both ways, and SigV4; knows no openami noun."""
