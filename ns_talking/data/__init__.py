"""Datasets: their format on disk, frames, pixel sampling."""
