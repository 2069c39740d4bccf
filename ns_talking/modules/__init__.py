"""Trainable blocks shared by the fields."""
