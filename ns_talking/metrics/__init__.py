"""Metrics: how like the real person a rendered one is."""
