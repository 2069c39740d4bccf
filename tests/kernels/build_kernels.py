"""Compile every Triton kernel for GPUs that need not be here, and print what each build takes.

A program of its own, because the tests around it run Triton's interpreter. The twins are called on tensors of the CPU
with their launches recorded instead of run, so what is built is what a GPU would run, constants and warps included.
"""

import inspect
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.insert(0, str(__file__).rpartition("/kernels/")[0])

from kernels.cases import (
    ER_NERF_PLANE,
    RAD_NERF_SPACE,
    CompositeCase,
    EncodingCase,
    MarchCase,
    er_nerf_canvas,
    folded_er_nerf,
    rad_nerf_canvas,
)

from ns_talking.kernels.composite_rays import composite_rays
from ns_talking.kernels.front_to_back import accumulate_packed, pack_samples
from ns_talking.kernels.hash_encoding import hash_encoding
from ns_talking.kernels.march_rays import march_rays
from ns_talking.kernels.region_gate import region_gate
from ns_talking.kernels.render_canvas import render_canvas
from ns_talking.kernels.render_triplane import render_triplane
from ns_talking.kernels.spherical_harmonics import spherical_harmonics
from ns_talking.kernels.triplane_encoding import triplane_encoding

_POINTER_TYPES = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.uint8: "*u8",
}


def encode(operation: Callable, case: EncodingCase, dimensions: int, *tables: Tensor, half: bool = False) -> None:
    leaves = case.points(dimensions).requires_grad_(), tables[0].requires_grad_()
    with torch.autocast("cpu", dtype=torch.float16, enabled=half):
        features = operation(*leaves, case.geometry)
    features.backward(torch.ones_like(features))


def call_everything() -> None:
    """Call every twin as ER-NeRF does."""
    plane, space = EncodingCase(ER_NERF_PLANE, 160), EncodingCase(RAD_NERF_SPACE, 160)
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        encode(triplane_encoding.triton, plane, 3, plane.tables(3))
        encode(hash_encoding.triton, space, 3, space.tables(1)[0])
    torch.use_deterministic_algorithms(False)
    encode(triplane_encoding.triton, plane, 3, plane.tables(3), half=True)
    origins, directions, bounds, *_ = arguments = MarchCase(160, (128, 128, 128), "head").arguments()
    samples = march_rays.triton(*arguments)
    density, rgb, auxiliary, weighted, t, valid = CompositeCase(160, 16, 2, 1).inputs()
    composite_rays.triton(density.requires_grad_(), 0.1, rgb, auxiliary, weighted, t, valid).rgb.sum().backward()
    light = torch.ones(160)
    every = torch.ones(160, 4, dtype=torch.bool)
    ray, slot, distance, _ = pack_samples.triton(samples.t[:, :4], every, origins, directions, bounds, light)
    values = torch.ones(len(ray), 5)
    accumulate_packed.triton(light, torch.zeros(160, 5), light.clone(), ray, slot, distance, distance, values, 0.1)
    harmonics = spherical_harmonics.triton(directions.requires_grad_())
    harmonics.sum().backward()
    field = folded_er_nerf()
    render_triplane.triton(origins, directions.detach(), bounds, torch.ones(64, 64, 64) > 0, field, 0.1, 16, 16)
    for canvas in (er_nerf_canvas(), rad_nerf_canvas()):
        render_canvas.triton(torch.zeros(160, 2), torch.ones(160) > 0, canvas)
    for dtype in (torch.float32, torch.float16):
        attention = torch.ones(160, 32, dtype=dtype, requires_grad=True)
        weighed, strength = region_gate.triton(attention, torch.ones(1, 32, dtype=dtype), torch.zeros(160).long())
        (weighed.sum() + strength.sum()).backward()


def recorded_launches(run: Callable[[], None]) -> list[tuple[Any, dict[str, Any], dict[str, Any]]]:
    """Kernel, arguments and options of every launch, without running any."""
    launches = []

    def record(kernel: Any, *arguments: Any, grid: object, warmup: bool, **named: Any) -> None:
        options = {name: named.pop(name) for name in list(named) if name not in kernel.arg_names}
        bound = inspect.signature(kernel.fn).bind(*arguments, **named)
        launches.append((kernel, dict(bound.arguments), options))

    triton.JITFunction.run = record
    run()
    return launches


def source_of(kernel: Any, arguments: dict[str, Any]) -> ASTSource:
    """What Triton would specialise a launch to: constants, pointer types, and multiples of 16."""
    signature, constants, attributes = {}, {}, {}
    for index, (parameter, (name, value)) in enumerate(zip(kernel.params, arguments.items(), strict=True)):
        if parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1):
            signature[name], constants[name] = "constexpr", value
        elif isinstance(value, Tensor):
            signature[name] = _POINTER_TYPES[value.dtype]
            attributes[(index,)] = [["tt.divisibility", 16]]
        elif isinstance(value, int):
            signature[name] = "i32"
            if value % 16 == 0:
                attributes[(index,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = "fp32"
    return ASTSource(kernel, signature, constants, attributes)


def resources(cubin: bytes) -> dict[str, int]:
    """Registers and bytes of stack of a build; the stack is where spilled registers go."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(REG|STACK):(\d+)", usage))
    return {"registers": int(found["REG"]), "stack": int(found["STACK"])}


def main() -> None:
    """Build for the compute capabilities on the command line."""
    rows = {}
    launches = recorded_launches(call_everything)
    for capability in map(int, sys.argv[1:]):
        for kernel, arguments, options in launches:
            source = source_of(kernel, arguments)
            build = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
            key = f"{kernel.__name__} {source.hash()[:8]} sm_{capability}"
            rows[key] = {"kernel": kernel.__name__, "shared": build.metadata.shared, **resources(build.asm["cubin"])}
    sys.stdout.write(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
