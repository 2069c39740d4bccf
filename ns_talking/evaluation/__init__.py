"""Evaluation: which frames are measured against which, and what is written about it."""

ROWS: dict[str, str] = {
    "real": "ns_talking.evaluation.real_rows:real",
    "re-encoded": "ns_talking.evaluation.real_rows:re_encoded",
    "mean-frame": "ns_talking.evaluation.baseline_rows:mean_frame",
    "nearest-pose": "ns_talking.evaluation.baseline_rows:nearest_pose",
    "nearest-sound": "ns_talking.evaluation.baseline_rows:nearest_sound",
    "mean-face": "ns_talking.evaluation.baseline_rows:mean_face",
    "model": "ns_talking.evaluation.model_rows:model",
    "shifted": "ns_talking.evaluation.model_rows:shifted",
    "shuffled": "ns_talking.evaluation.model_rows:shuffled",
    "reversed": "ns_talking.evaluation.model_rows:reversed_sound",
    "silenced": "ns_talking.evaluation.model_rows:silenced",
    "mean-sound": "ns_talking.evaluation.model_rows:mean_sound",
}
"""Row of the table -> "module:function"; every function follows `ns_talking.evaluation.subject.Row`."""

SYNTHETIC = frozenset({"model", "shifted", "shuffled", "reversed", "silenced", "mean-sound"})
"""Rows that a portrait renders; their videos are marked as synthetic."""

LABELS: dict[str, str] = {
    "real": "real frames",
    "re-encoded": "real, encoded again",
    "mean-frame": "mean frame",
    "nearest-pose": "nearest frame by pose",
    "nearest-sound": "nearest frame by sound",
    "mean-face": "mean face, aligned",
    "model": "portrait",
    "shifted": "portrait, sound shifted 2 s",
    "shuffled": "portrait, seconds shuffled",
    "reversed": "portrait, sound reversed",
    "silenced": "portrait, sound silenced",
    "mean-sound": "portrait, mean sound",
}
"""What a row is called in tables."""
