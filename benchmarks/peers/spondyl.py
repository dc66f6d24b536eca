"""This project, by the backend named as second argument: native, numba or reference."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

from peers.job import Answer, Image, Job
from peers.serve import MissingError, Project, need, serve


def build(job: Job) -> tuple[Project, str]:
    """One call of `project_channels`; the view is made anew in each call, as it is when a pose is sought."""
    need("torch")
    if importlib.util.find_spec("spondyl") is None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
    import torch

    from spondyl import __version__
    from spondyl.geometry import View
    from spondyl.xray.project import backends, project_channels

    name = sys.argv[2]
    state = {b.name: b for b in backends()}[name]
    if not state.available:
        raise MissingError(f"not available: {state.reason}")
    torch.set_num_threads(job.threads)
    channels = torch.from_numpy(job.load())[None].requires_grad_(job.gradient == "volume")
    world_from_voxel = torch.from_numpy(job.world_from_voxel()).float()
    placed = torch.from_numpy(np.stack([p.matrix for p in job.poses])).float()
    distances_mm = torch.tensor([p.source_to_detector_mm for p in job.poses])

    def project(count: int) -> Answer:
        single = len(job.poses) == 1
        m = (placed[0] if single else placed[:count]).clone().requires_grad_(job.gradient == "pose")
        d = distances_mm[0] if single else distances_mm[:count]
        view = View(m, d, (job.pixel_mm, job.pixel_mm), job.detector_px)
        channels.grad = None
        with torch.set_grad_enabled(bool(job.gradient)):
            image = project_channels(channels, world_from_voxel, view, backend=name)
        if job.gradient:
            image.square().sum().backward()
        pixels: Image = image.detach().reshape(-1, *job.detector_px).numpy()
        if job.gradient == "volume":
            assert channels.grad is not None
            return Answer(pixels, volume_gradient=channels.grad[0].numpy())
        if job.gradient == "pose":
            assert m.grad is not None
            return Answer(pixels, pose=m.detach().double().numpy(), pose_gradient=m.grad.double().numpy())
        return Answer(pixels)

    return project, f"spondyl {__version__}, torch {torch.__version__}, {state.reason}"


if __name__ == "__main__":
    serve(build)
