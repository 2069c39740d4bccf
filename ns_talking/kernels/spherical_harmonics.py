"""Real spherical harmonics: the usual encoding of a viewing direction."""

import torch
from jaxtyping import Float
from torch import Tensor

from ns_talking.kernels.dispatch import op

MAX_DEGREE = 4


@op(triton="ns_talking.kernels.triton.spherical_harmonics:spherical_harmonics")
def spherical_harmonics(
    directions: Float[Tensor, "samples 3"],
    degree: int = 4,
) -> Float[Tensor, "samples components"]:
    """Evaluate the real spherical harmonics of the bands 0 to degree - 1.

    Each is the orthonormal harmonic written as a polynomial of x, y and z, with the Condon-Shortley phase, in the
    order (l, m) = (0, 0), (1, -1), (1, 0), (1, 1), (2, -2), ... that Instant-NGP and its followers use.

    Args:
        directions: Unit vectors. Their length is not checked.
        degree: Number of bands, 1 to 4.

    Returns:
        degree^2 components of every direction.

    Raises:
        ValueError: The degree is not between 1 and 4.
    """
    check_degree(degree)
    x, y, z = directions.unbind(-1)
    components = [torch.full_like(x, 0.28209479177387814)]
    if degree > 1:
        components += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree > 2:
        components += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * z * z - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ]
    if degree > 3:
        components += [
            -0.5900435899266435 * y * (3 * x * x - y * y),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * z * z - 1),
            0.3731763325901154 * z * (5 * z * z - 3),
            -0.4570457994644658 * x * (5 * z * z - 1),
            1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]
    return torch.stack(components, dim=-1)


def check_degree(degree: int) -> None:
    """Refuse a degree that there is no formula for.

    Raises:
        ValueError: The degree is not between 1 and 4.
    """
    if not 1 <= degree <= MAX_DEGREE:
        raise ValueError(f"Spherical harmonics are known for degrees 1 to {MAX_DEGREE}, found degree={degree}.")
