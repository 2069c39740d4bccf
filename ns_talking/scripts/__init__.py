"""Command-line verbs of `ns-talking`."""
