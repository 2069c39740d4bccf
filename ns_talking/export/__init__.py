"""Datasets in the layouts that other tools read."""

EXPORTERS = {
    "ad-nerf": "ns_talking.export.ad_nerf:export_ad_nerf",
}
"""Name of a layout -> "module:function", a function of a `Portrait`, the folder to write and a call per frame."""
