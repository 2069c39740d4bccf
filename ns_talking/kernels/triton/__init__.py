"""Twins for NVIDIA GPUs, compiled by Triton when they are first called; no CUDA toolkit is needed."""
