"""One network namespace per VPC, one routed tap per instance."""
