"""Pipelines: phases of training and the exchange of audio."""
