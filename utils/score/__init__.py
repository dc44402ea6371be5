"""Stage 4: error rates, BLEU, intervals, and what went wrong."""
