"""The durable workflow engine behind one door; it knows no workflow by name."""
