"""Metrics: how like the real person a rendered one is."""

METRICS: dict[str, str] = {
    "psnr": "ns_talking.metrics.image:Psnr",
    "ssim": "ns_talking.metrics.image:Ssim",
    "ms_ssim": "ns_talking.metrics.image:MsSsim",
    "lpips": "ns_talking.metrics.lpips:Lpips",
    "fid": "ns_talking.metrics.fid:Fid",
    "lmd": "ns_talking.metrics.landmark_distance:Lmd",
    "aue": "ns_talking.metrics.action_units:ActionUnitError",
    "blendshapes": "ns_talking.metrics.action_units:BlendshapeError",
    "aperture": "ns_talking.metrics.aperture:Aperture",
    "eyes": "ns_talking.metrics.aperture:Eyes",
    "closures": "ns_talking.metrics.closures:ClosureDepth",
    "sync": "ns_talking.metrics.sync:Sync",
    "lip_sound": "ns_talking.metrics.lip_sound:LipSound",
    "silence": "ns_talking.metrics.silence:SilenceStability",
    "stability": "ns_talking.metrics.stability:Stability",
    "csim": "ns_talking.metrics.identity:Csim",
    "likeness": "ns_talking.metrics.identity:Likeness",
}
"""Name of a metric -> "module:class"; every value follows the protocol `ns_talking.metrics.base.Metric`."""
