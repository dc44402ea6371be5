"""Whisper's numbers for audio, features and times; every other module takes them from here."""

SAMPLE_RATE = 16_000  # Hz, of Whisper's input
WINDOW_SECONDS = 30.0  # length of Whisper's window
FRAMES_PER_SECOND = 100  # log-mel frames of 10 ms
FRAME_SECONDS = 1 / FRAMES_PER_SECOND
FULL_WINDOW = 3000  # frames in the 30-s window that Whisper was trained on
POSITIONS_PER_SECOND = 50  # positions of the encoder's output, 20 ms each
TIMESTAMP_SECONDS = 0.02  # step between timestamp tokens
NUM_TIMESTAMPS = 1501  # tokens <|0.00|> to <|30.00|>
