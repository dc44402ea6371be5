"""Markers that record which steps are up to date, and locks against simultaneous runs."""
