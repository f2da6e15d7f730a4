"""The nouns and their rules: pure values, state tables, EC2 errors. Standard library only."""
