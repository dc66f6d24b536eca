"""Plain torch: trilinear marching by `grid_sample`, 1 mm apart, clipped to the volume. What one writes in an hour.

Written to its best on a CPU: rows in chunks, so that the sample positions fit into memory, and each chunk as as many
batch items as there are threads, because `grid_sample` on a CPU is parallel over the batch only.
"""

import math

from peers.job import Answer, Job, stacked_cameras
from peers.serve import Project, need, serve, versions

STEP_MM = 1.0
SAMPLES_AT_ONCE = 8e6


def build(job: Job) -> tuple[Project, str]:
    """Marching over the cameras of the job, as a torch function of the volume and the 4 x 4 cameras."""
    need("torch")
    import torch
    from torch import Tensor
    from torch.nn.functional import grid_sample

    torch.set_num_threads(job.threads)
    volume = torch.from_numpy(job.load()).requires_grad_(job.gradient == "volume")
    (h, w), pitch = job.detector_px, job.pixel_mm
    half_mm = torch.tensor(job.size_xyz()) * torch.tensor(job.spacing_mm) / 2
    samples = math.ceil(2 * float(half_mm.norm()) / STEP_MM)
    middle = (torch.arange(samples) + 0.5) / samples
    x, y = (torch.arange(w) - (w - 1) / 2) * pitch, (torch.arange(h) - (h - 1) / 2) * pitch
    depth = torch.full((h, w), job.poses[0].source_to_detector_mm)
    rays = torch.stack([x.expand(h, w), y[:, None].expand(h, w), depth], -1)
    rows = max(int(SAMPLES_AT_ONCE / (w * samples)) // job.threads, 1) * job.threads

    def march(part: Tensor, camera: Tensor) -> Tensor:
        source, vector = camera[:3, 3], part @ camera[:3, :3].T
        safe = torch.where(vector.abs() < 1e-9, 1e-9, vector)
        t0, t1 = (-half_mm - source) / safe, (half_mm - source) / safe
        near = torch.minimum(t0, t1).amax(-1).clamp(min=0)
        span = (torch.maximum(t0, t1).amin(-1).clamp(max=1) - near).clamp(min=0)
        t = near[..., None] + span[..., None] * middle
        where = (source + t[..., None] * vector[..., None, :]) / half_mm
        where = where.reshape(job.threads, -1, w, samples, 3) if len(part) % job.threads == 0 else where[None]
        field = volume[None, None].expand(len(where), -1, -1, -1, -1)
        density = grid_sample(field, where, align_corners=False, padding_mode="border").sum(-1)
        return density.reshape(part.shape[:2]) * span * vector.norm(dim=-1) / samples

    def image_of(camera: Tensor) -> Tensor:
        return torch.cat([march(part, camera) for part in rays.split(rows)])

    cameras = torch.from_numpy(stacked_cameras(job.poses))

    def project(count: int) -> Answer:
        if not job.gradient:
            with torch.no_grad():
                return Answer(torch.stack([image_of(c) for c in cameras[:count]]).numpy())
        volume.grad = None
        pose = cameras[0].clone().requires_grad_(job.gradient == "pose")
        image = image_of(pose)
        image.square().sum().backward()
        pixels = image.detach()[None].numpy()
        if job.gradient == "volume":
            assert volume.grad is not None
            return Answer(pixels, volume_gradient=volume.grad.numpy())
        assert pose.grad is not None
        return Answer(pixels, pose=cameras[0].double().numpy(), pose_gradient=pose.grad.double().numpy())

    return project, versions("torch")


if __name__ == "__main__":
    serve(build)
