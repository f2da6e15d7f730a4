"""The openami command: one file per verb."""
