"""The entry for `nerfstudio/configs/external_methods.py`, with which `ns-train er-nerf` offers to install the plugin.

It is meant to be pasted there: `external_methods` is that file's list, and `ExternalMethod` its class.
"""

from nerfstudio.configs.external_methods import ExternalMethod, external_methods

external_methods.append(
    ExternalMethod(
        """[bold yellow]ER-NeRF and RAD-NeRF: talking portraits[/bold yellow]
For more information visit: https://docs.nerf.studio/nerfology/methods/ns_talking.html

To enable talking portraits, you must install them first by running:
  [grey]pip install ns-talking[/grey]""",
        configurations=[
            ("er-nerf", "ER-NeRF: a portrait that speaks any audio, region attention over tri-plane hash grids"),
            ("rad-nerf", "RAD-NeRF: a portrait that speaks any audio, audio-spatial decomposition"),
            ("ssp-nerf", "SSP-NeRF: a portrait that speaks any audio, head and torso in one field that parses itself"),
        ],
        pip_package="ns-talking",
    )
)
