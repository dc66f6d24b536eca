"""nanodrr 0.1.7 by its torch backend: its Triton and Metal kernels need a GPU. 500 samples a ray, its default."""

from peers.job import Answer, Job, stacked_cameras
from peers.serve import Project, need, serve, versions

SAMPLES = 500


def build(job: Job) -> tuple[Project, str]:
    """A DRR module over one subject; a batch runs two views at a time, which bounds memory and feeds two threads."""
    need("torch", "nanodrr", "roma", "torchio")
    import torch
    from nanodrr.camera import make_k_inv
    from nanodrr.data import Subject
    from nanodrr.drr import DRR

    torch.set_num_threads(job.threads)
    volume = torch.from_numpy(job.load())[None, None]
    affine = torch.from_numpy(job.world_from_voxel())
    subject = Subject(
        volume, torch.zeros(1, 1, 1, 1, 1), affine.float(), affine.inverse().float(),
        Subject._make_voxel_to_grid(volume.shape), torch.zeros(3), convert_to_mu=False,
    )  # fmt: skip
    (h, w), pitch, distance_mm = job.detector_px, job.pixel_mm, job.poses[0].source_to_detector_mm
    k_inv = make_k_inv(distance_mm, pitch, pitch, 0.0, 0.0, h, w, dtype=torch.float32)
    drr = DRR(k_inv, torch.tensor([distance_mm]), h, w)
    cameras = torch.from_numpy(stacked_cameras(job.poses))
    density = subject._image_hu.requires_grad_(job.gradient == "volume")

    def project(count: int) -> Answer:
        if not job.gradient:
            with torch.no_grad():
                images = [drr(subject, c, n_samples=SAMPLES) for c in cameras[:count].split(2)]
            return Answer(torch.cat(images)[:, 0].numpy())
        density.grad = None
        pose = cameras.clone().requires_grad_(job.gradient == "pose")
        image = drr(subject, pose, n_samples=SAMPLES)
        image.square().sum().backward()
        pixels = image.detach()[:, 0].numpy()
        if job.gradient == "volume":
            return Answer(pixels, volume_gradient=density.grad[0, 0].numpy())
        return Answer(pixels, pose=cameras[0].double().numpy(), pose_gradient=pose.grad[0].double().numpy())

    return project, versions("nanodrr", "torch")


if __name__ == "__main__":
    serve(build)
