"""The person without a background, over the clip's own background, is the picture that the model renders."""

from __future__ import annotations

import torch

from ns_talking.pipelines.frames import clip_lens, person, render_frames


def test_person_over_background_is_the_rendered_picture(make_pipeline) -> None:
    pipeline = make_pipeline("inference")
    pipeline.eval()
    for name, parameter in pipeline.portrait_model.named_parameters():
        if name.startswith(("head", "torso")):
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    camera = pipeline.datamanager.train_dataset.cameras[0:1]
    outputs = pipeline.model.get_outputs_for_camera(camera)
    rgba = person(outputs)
    plate = pipeline.portrait_model.plate[0].permute(1, 2, 0)
    over = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:]) * plate
    torch.testing.assert_close(over.clamp(0, 1), outputs["rgb"], atol=1e-4, rtol=1e-4)
    image = next(render_frames(pipeline, pipeline.clip_track, range(1), clip_lens(pipeline, None), transparent=True))
    assert image.shape == (32, 32, 4)
