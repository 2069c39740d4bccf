"""Dataset layouts, read into one in-memory portrait."""
