"""From a video to a dataset: the steps of `ns-talking process`, in the order in which they run."""

STEPS: dict[str, str] = {
    "frames": "ns_talking.process.frames:FramesStep",
    "soundtrack": "ns_talking.process.soundtrack:SoundtrackStep",
    "landmarks": "ns_talking.process.landmarks:LandmarksStep",
    "head_pose": "ns_talking.process.head_pose:HeadPoseStep",
    "parsing": "ns_talking.process.parsing:ParsingStep",
    "face_classes": "ns_talking.process.face_classes:FaceClassesStep",
    "background": "ns_talking.process.background:BackgroundStep",
    "torso": "ns_talking.process.torso:TorsoStep",
    "blink": "ns_talking.process.blink:BlinkStep",
    "split": "ns_talking.process.split:SplitStep",
    "features": "ns_talking.process.features:FeaturesStep",
    "report": "ns_talking.process.report:ReportStep",
}
"""Name of a step -> "module:class"; every value follows the protocol `ns_talking.process.step.Step`."""
