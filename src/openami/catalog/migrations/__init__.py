"""The schema's history, as Alembic plays it. Expand first, contract a release later."""
