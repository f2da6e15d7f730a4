"""Machines that are only state: for testing API clients at speed."""
