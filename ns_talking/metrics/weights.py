"""Files of weights that metrics rest on: their names, where to get them, and their checksums."""

from __future__ import annotations

from ns_talking.utils.model_files import ModelFile

ALEXNET = ModelFile(
    name="alexnet-owt-7be5be79.pth",
    purpose="AlexNet, which LPIPS compares images with,",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    num_bytes=244_408_911,
    licence="BSD-3-Clause",
    in_torch_hub=True,
)
"""torchvision's, trained on ImageNet, whose terms are for research."""
INCEPTION = ModelFile(
    name="weights-inception-2015-12-05-6726825d.pth",
    purpose="Inception, which FID compares frames with,",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    num_bytes=95_628_359,
    licence="Apache-2.0",
    in_torch_hub=True,
)
"""The Inception network that the original FID code uses, converted by torch-fidelity."""
SFACE = ModelFile(
    name="face_recognition_sface_2021dec.onnx",
    purpose="SFace, which CSIM compares faces with,",
    url="https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_recognition_sface/"
    "face_recognition_sface_2021dec.onnx",
    sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
    num_bytes=38_696_353,
    licence="Apache-2.0",
)
"""OpenCV Zoo's."""
SYNCNET = ModelFile(
    name="syncnet_v2.model",
    purpose="SyncNet, which LSE-C and LSE-D rest on,",
    url="https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
    sha256="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
    num_bytes=54_573_114,
    licence="LicenseRef-research",
    by_hand=True,
)
"""The published weights. They were trained on LRS2, whose terms are for research."""
WEIGHTS = (ALEXNET, INCEPTION, SFACE, SYNCNET)
