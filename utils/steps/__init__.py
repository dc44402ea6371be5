"""Which steps are up to date, and who is writing."""
