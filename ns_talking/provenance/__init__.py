"""Small tools without knowledge of portraits: progress, files, registries, optional packages."""
