"""Training speech made different in each epoch; one file for each way, listed in `chain.py`."""
