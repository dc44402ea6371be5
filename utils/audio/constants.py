"""Whisper's numbers for audio, features and times; every other module takes them from here."""

SAMPLE_RATE = 16_000  # Hz, what Whisper hears
WINDOW_SECONDS = 30.0  # what Whisper hears at once
FRAMES_PER_SECOND = 100  # log-mel frames of 10 ms
FULL_WINDOW = 3000  # frames: the 30 s that Whisper was trained on
POSITIONS_PER_SECOND = 50  # of the encoder's output
TIMESTAMP_SECONDS = 0.02  # the step of timestamp tokens
NUM_TIMESTAMPS = 1501  # tokens <|0.00|> to <|30.00|>
