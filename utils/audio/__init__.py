"""Audio files as samples, and where somebody speaks."""
