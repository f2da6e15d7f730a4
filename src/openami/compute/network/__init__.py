"""The network of one host: a namespace per VPC, a routed tap per instance (DESIGN section 5)."""
