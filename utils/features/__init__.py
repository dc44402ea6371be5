"""Stage 2: log-mel features, Kaldi arks, the utterances of a set."""
