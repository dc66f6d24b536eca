"""The Triton kernels against the readable projector: on a GPU where there is one, else in Triton's interpreter."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent

CHECK = """
import sys
sys.path[:0] = {paths!r}
import torch
from scenes import GRIDS, noise, view
from spondyl.xray import cuda, reference
from spondyl.xray.lines import lines_of
device = {device!r}
for name in ("oblique", "sheared", "thin"):
    shape, world_from_voxel = GRIDS[name]
    for angle, tilt in ((0, 0), (90, 5), (30, 10), (0, 75)):
        lines = lines_of(view(angle, tilt, shape_px=(5, 9), pitch_mm=7.0), world_from_voxel, shape)
        results = []
        for march, where in ((cuda.march, device), (reference.march, "cpu")):
            x = noise(shape, channels=2, seed=1).to(where).requires_grad_(True)
            c = lines.coefficients.detach().to(where).requires_grad_(True)
            sums = march(x, type(lines)(lines.axis, c, lines.step_mm.to(where), lines.k_mid))
            weight = torch.linspace(-1, 2, sums.numel(), device=where).reshape(sums.shape)
            (sums * weight).sum().backward()
            results.append((sums.detach().cpu(), x.grad.cpu(), c.grad.cpu()))
        for got, expected in zip(*results):
            torch.testing.assert_close(got, expected, atol=2e-3 * max(1.0, float(expected.abs().max())) / 10, rtol=1e-4)
        assert results[1][0].abs().max() > 0 or name == "thin"
print("agree")
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed (pip install triton)")
def test_the_triton_kernels_give_the_reference_sums_and_derivatives() -> None:
    on_gpu = torch.cuda.is_available()
    paths = [str(HERE), str(HERE.parents[1] / "src")]
    code = CHECK.format(paths=paths, device="cuda" if on_gpu else "cpu")
    # the interpreter is chosen when triton is imported, so the kernels run in a process of their own
    environment = os.environ if on_gpu else {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "agree" in done.stdout
