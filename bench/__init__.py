"""How fast openami is beside its peers: one module per line of the table, named after it."""
