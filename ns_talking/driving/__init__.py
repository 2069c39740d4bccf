"""What drives a portrait, at video rate: audio windows, blinks and head poses."""
