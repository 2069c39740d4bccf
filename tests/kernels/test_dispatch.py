"""Laws of choosing an implementation."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kernels.cases import (
    COMPOSITE_CASES,
    ENCODING_CASES,
    MARCH_CASES,
    STEP,
    TINY_HASH,
    TWINS,
    EncodingCase,
    implementation,
)
from torch import Tensor

from ns_talking.kernels import dispatch
from ns_talking.kernels.composite_rays import composite_rays
from ns_talking.kernels.dispatch import op
from ns_talking.kernels.hash_encoding import hash_encoding
from ns_talking.kernels.march_rays import march_rays
from ns_talking.kernels.spherical_harmonics import spherical_harmonics
from ns_talking.kernels.triplane_encoding import triplane_encoding

KERNEL_FILES = ("hash_encoding", "march_rays", "composite_rays", "front_to_back")


@op(numba="ns_talking.kernels.numba.nowhere:nothing")
def orphan(values: Tensor) -> Tensor:
    """An operation whose twin is missing."""
    return values + 1


def twin_of_hash_encoding() -> tuple[Tensor, Tensor]:
    case = EncodingCase(TINY_HASH, 4)
    return case.points(), case.tables(1)[0]


@pytest.mark.parametrize(("choice", "expected"), [("auto", "numba"), ("torch", "reference"), ("numba", "numba")])
def test_the_environment_chooses_the_implementation(
    choice: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NS_TALKING_KERNELS", choice)
    assert hash_encoding.choose(*twin_of_hash_encoding(), TINY_HASH) is getattr(hash_encoding, expected)


def test_auto_computes_in_double_precision_with_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NS_TALKING_KERNELS", raising=False)
    points, table = (value.double() for value in twin_of_hash_encoding())
    assert hash_encoding.choose(points, table, TINY_HASH) is hash_encoding.reference
    assert hash_encoding(points, table, TINY_HASH).dtype == torch.float64


def test_an_unknown_choice_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_KERNELS", "cuda")
    with pytest.raises(ValueError, match="'cuda'.*auto, torch, numba, triton"):
        hash_encoding(*twin_of_hash_encoding(), TINY_HASH)


def test_a_choice_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_KERNELS", "numba")
    points, table = (value.double() for value in twin_of_hash_encoding())
    with pytest.raises(ValueError, match="cannot run hash_encoding: it computes in float32.*float64.*auto"):
        hash_encoding(points, table, TINY_HASH)
    with pytest.raises(ValueError, match="runs on cpu tensors, found one on meta"):
        hash_encoding(*(value.to("meta") for value in twin_of_hash_encoding()), TINY_HASH)


def test_a_twin_that_cannot_be_imported_is_an_error_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_KERNELS", "auto")
    assert orphan(torch.zeros(1)).item() == 1
    monkeypatch.setenv("NS_TALKING_KERNELS", "numba")
    with pytest.raises(ImportError, match="numba twin of orphan cannot be imported.*NS_TALKING_KERNELS=torch"):
        orphan(torch.zeros(1))


def test_an_operation_without_the_twin_is_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_KERNELS", "numba")
    assert spherical_harmonics.choose(torch.ones(1, 3)) is spherical_harmonics.reference
    with pytest.raises(ImportError, match="no numba twin"):
        _ = spherical_harmonics.numba


def test_auto_never_interprets_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delenv("NS_TALKING_KERNELS", raising=False)
    assert spherical_harmonics.choose(torch.ones(1, 3)) is spherical_harmonics.reference


def test_triton_runs_on_a_gpu_alone_unless_it_is_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_KERNELS", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="cannot run hash_encoding: it runs on cuda tensors, found one on cpu.*auto"):
        hash_encoding(*twin_of_hash_encoding(), TINY_HASH)


def test_triton_takes_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_KERNELS", "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(ValueError, match="cannot run spherical_harmonics.*bfloat16"):
        spherical_harmonics(torch.ones(1, 3, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("broken", "value", "reason"),
    [
        ("shutil.which", lambda _: None, "gcc or clang"),
        ("triton.__version__", "2.1.0", "Triton 3.0 or later, found 2.1.0"),
    ],
)
def test_where_triton_cannot_run_the_reason_is_told(
    broken: str, value: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(broken, value)
    monkeypatch.delitem(sys.modules, "ns_talking.kernels.triton.launch", raising=False)
    operation = op(triton="ns_talking.kernels.triton.launch:launch")(lambda values: values)
    with pytest.raises(ImportError, match=f"{reason}.*NS_TALKING_KERNELS=torch"):
        _ = operation.triton


def test_that_slower_definitions_take_over_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dispatch, "_TOLD", set())
    monkeypatch.delenv("NS_TALKING_KERNELS", raising=False)
    for _ in range(2):
        orphan(torch.zeros(1))
    assert capsys.readouterr().out.count("cannot be imported") == 1


def test_an_operation_keeps_the_name_and_the_words_of_its_definition() -> None:
    assert hash_encoding.__name__ == "hash_encoding"
    assert "multiresolution grid" in (hash_encoding.__doc__ or "")


def test_importing_the_operations_imports_no_compiler() -> None:
    names = ", ".join(f"ns_talking.kernels.{name}" for name in (*KERNEL_FILES, "triplane_encoding", "region_gate"))
    code = f"import sys, {names}; sys.exit('numba' in sys.modules or 'triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def run_everything() -> None:
    for case in ENCODING_CASES[2:]:
        points, tables = case.points().requires_grad_(), case.tables(1).requires_grad_()
        hash_encoding.numba(points, tables[0], case.geometry).sum().backward()
    triplane_encoding.numba(torch.rand(9, 3), torch.rand(3, TINY_HASH.num_entries, 1), TINY_HASH)
    for case in MARCH_CASES[2:]:
        march_rays.numba(*case.arguments())
    for case in COMPOSITE_CASES:
        density, *others, valid = case.inputs()
        rgb, auxiliary, weighted, t = others
        result = composite_rays.numba(density.requires_grad_(), STEP, rgb, auxiliary, weighted, t, valid)
        result.rgb.sum().backward()


def test_no_shape_compiles_a_kernel_again() -> None:
    run_everything()
    for name in KERNEL_FILES:
        module = importlib.import_module(f"ns_talking.kernels.numba.{name}")
        for kernel in vars(module).values():
            if type(kernel).__name__ == "compiled":
                assert len(kernel.dispatcher.signatures) <= 1, kernel.dispatcher


@pytest.mark.parametrize("twin", TWINS)
def test_kernels_write_every_element_of_their_outputs(twin: str) -> None:
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert fill and torch.empty(3).isnan().all()
        points, table = (
            EncodingCase(TINY_HASH, 300).points().nan_to_num().requires_grad_(),
            torch.rand(3, TINY_HASH.num_entries, 1),
        )
        features = implementation(hash_encoding, twin)(points, table[0].requires_grad_(), TINY_HASH)
        features.sum().backward()
        assert features.isfinite().all()
        assert points.grad is not None
        assert points.grad.isfinite().all()
        samples = implementation(march_rays, twin)(*MARCH_CASES[2].arguments())
        assert samples.t.isfinite().all()
        assert samples.near.isfinite().all()
        assert samples.far.isfinite().all()
        density, rgb, auxiliary, weighted, t, valid = COMPOSITE_CASES[0].inputs()
        density.requires_grad_()
        composite = implementation(composite_rays, twin)(density, STEP, rgb, auxiliary, weighted, t, valid)
        composite.rgb.sum().backward()
        for value in (
            composite.rgb,
            composite.depth,
            composite.auxiliary,
            composite.weighted,
            composite.weights,
            density.grad,
        ):
            assert value is not None
            assert value.isfinite().all()
    finally:
        torch.use_deterministic_algorithms(False)


def test_kernels_leave_the_number_of_threads_of_pytorch_alone() -> None:
    code = (
        "import torch; torch.set_num_threads(1); from ns_talking.kernels.march_rays import march_rays; "
        "rays = torch.eye(3); "
        "march_rays.numba(rays, rays, rays[:2], torch.ones(2, 2, 2, dtype=torch.bool), 0.1, 2, rays[0]); "
        "import sys; sys.exit(torch.get_num_threads() != 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_several_threads_may_call_kernels_at_once(layer: str) -> None:
    """Also in the threading layer of Numba's that ends the process when two threads are in it."""
    code = (
        "import torch; from concurrent.futures import ThreadPoolExecutor\n"
        "from ns_talking.kernels.march_rays import march_rays\n"
        "rays = torch.eye(3).repeat(300, 1); occupied = torch.ones(2, 2, 2, dtype=torch.bool)\n"
        "march = lambda _: march_rays.numba(rays, rays, rays[:2], occupied, 0.1, 2, rays[:, 0].contiguous()).t.sum()\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    found = list(pool.map(march, range(200)))\n"
        "raise SystemExit(3 if len(set(map(float, found))) == 1 else 4)"
    )
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120, check=False).returncode == 3


def test_kernels_run_where_nothing_can_be_cached(tmp_path: Path) -> None:
    """A package folder and a home that are read-only, as in many containers."""
    source = Path(importlib.import_module("ns_talking").__file__ or "").parent / "kernels"
    module = tmp_path / "probe.py"
    module.write_text(
        (source / "numba" / "compiled.py").read_text()
        + "\nimport numpy as np\nimport numba.core.caching as caching\n"
        + "caching.CacheImpl._locator_classes = []\n"
        + "def double(values):\n    for i in range(values.size):\n        values[i] *= 2\n"
        + "try:\n    numba.njit(double, cache=True)\nexcept RuntimeError:\n    pass\nelse:\n    raise AssertionError\n"
        + "values = np.ones(3)\ncompiled(double)(values)\nassert values.sum() == 6\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0"}
    assert subprocess.run([sys.executable, str(module)], env=environment, check=False).returncode == 0
