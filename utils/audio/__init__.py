"""Audio files as samples, and voice activity detection."""
