"""Sound: reading any file, and the frozen feature extractors."""

FEATURES: dict[str, str] = {
    "mel": "ns_talking.audio.mel:MelFeatures",
    "hubert": "ns_talking.audio.hubert:HubertFeatures",
    "wav2vec2": "ns_talking.audio.wav2vec2:Wav2Vec2Features",
    "whisper": "ns_talking.audio.whisper:WhisperFeatures",
}
"""Name of an extractor -> "module:class"; every value follows the protocol `ns_talking.audio.base.FeatureExtractor`."""
