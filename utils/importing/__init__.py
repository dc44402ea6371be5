"""Data as other toolkits write it, read into the lists of a set: one module for each kind, named in ``kinds.py``."""
