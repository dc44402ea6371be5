"""Stage 2: log-mel features, arks, a set's utterances."""
