"""DiffDRR 0.6.1; the second argument names its renderer: siddon (its default, exact) or trilinear (500 points)."""

import sys

import numpy as np

from peers.job import Answer, Job, stacked_cameras
from peers.serve import Project, need, serve, versions

POINTS = 500  # its default
PATCH_PX = 128  # Siddon's planes are sorted for every ray of a patch: larger images exceed 16 GB as one patch


def build(job: Job) -> tuple[Project, str]:
    """A DRR module whose density is the volume itself; a batch runs two views at a time, which bounds memory."""
    need("torch", "diffdrr", "torchio")
    import torch
    from diffdrr.data import read
    from diffdrr.drr import DRR
    from diffdrr.pose import RigidTransform
    from torchio import ScalarImage

    renderer = sys.argv[2]
    torch.set_num_threads(job.threads)
    volume = torch.from_numpy(np.ascontiguousarray(job.load().transpose(2, 1, 0)))[None]
    subject = read(ScalarImage(tensor=volume, affine=job.world_from_voxel()), orientation=None, center_volume=False)
    large = renderer == "siddon" and max(job.detector_px) > 256
    drr = DRR(
        subject, sdd=job.poses[0].source_to_detector_mm, height=job.detector_px[0], width=job.detector_px[1],
        delx=job.pixel_mm, renderer=renderer, patch_size=PATCH_PX if large else None,
    )  # fmt: skip
    drr.density = volume[0].clone().requires_grad_(job.gradient == "volume")  # 1/mm, not its rescaled HU
    settings = {"n_points": POINTS} if renderer == "trilinear" else {}
    cameras = torch.from_numpy(stacked_cameras(job.poses, signs=(-1, -1)))  # its image axes point the other way

    def project(count: int) -> Answer:
        if not job.gradient:
            with torch.no_grad():
                images = [drr(RigidTransform(c), **settings) for c in cameras[:count].split(2)]
            return Answer(torch.cat(images)[:, 0].numpy())
        drr.density.grad = None
        pose = cameras.clone().requires_grad_(job.gradient == "pose")
        image = drr(RigidTransform(pose), **settings)
        image.square().sum().backward()
        pixels = image.detach()[:, 0].numpy()
        if job.gradient == "volume":
            return Answer(pixels, volume_gradient=drr.density.grad.numpy().transpose(2, 1, 0))
        return Answer(pixels, pose=cameras[0].double().numpy(), pose_gradient=pose.grad[0].double().numpy())

    return project, versions("diffdrr", "torch")


if __name__ == "__main__":
    serve(build)
