"""Talking-portrait methods, one file each."""
