"""Portraits as one file that renders anywhere and executes nothing."""
