"""Sound: reading any file, and the frozen feature extractors."""

FEATURES: dict[str, str] = {
    "mel": "ns_talking.audio.mel:MelFeatures",
}
"""Name of an extractor -> "module:class"; every value follows the protocol `ns_talking.audio.base.FeatureExtractor`."""
