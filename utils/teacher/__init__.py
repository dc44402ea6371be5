"""Stage 1 with --teacher: a bigger Whisper's translations."""
