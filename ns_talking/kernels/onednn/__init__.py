"""CPU twins through oneDNN, which comes with PyTorch."""
