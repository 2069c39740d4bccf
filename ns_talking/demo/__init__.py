"""The procedural talking head: exact images, masks, landmarks, poses and speech-like sound, made of nothing."""
