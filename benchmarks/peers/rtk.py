"""RTK 2.7.0, Joseph forward projector. It has no autograd: its matched back projector is called by hand instead."""

from collections.abc import Sequence

import numpy as np

from peers.job import Answer, Job
from peers.serve import MissingError, Project, need, serve, versions


def build(job: Job) -> tuple[Project, str]:
    """The forward filter over a fixed geometry; with a volume gradient, the back projection of twice the image."""
    need("itk")
    if job.gradient == "pose":
        raise MissingError("no pose gradient")
    import itk
    from itk import RTK as rtk  # noqa: N811

    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(job.threads)
    volume = itk.image_view_from_array(job.load())
    volume.SetSpacing(job.spacing_mm)
    volume.SetOrigin(job.origin_mm())
    image_type = itk.Image[itk.F, 3]
    (h, w), pitch = job.detector_px, job.pixel_mm

    def filled(kind: type, values: Sequence[float]) -> object:
        item = kind()
        for k, value in enumerate(values):
            item[k] = float(value)
        return item

    def geometry(count: int) -> tuple[object, object]:
        placed = rtk.ThreeDCircularProjectionGeometry.New()
        point, vector = itk.Point[itk.D, 3], itk.Vector[itk.D, 3]
        for pose in job.poses[:count]:
            m, source = pose.matrix, pose.camera[:3, 3]
            placed.AddProjection(
                filled(point, source), filled(point, m[:3, 3]), filled(vector, m[:3, 0]), filled(vector, m[:3, 1])
            )
        empty = itk.image_view_from_array(np.zeros((count, h, w), np.float32))
        empty.SetSpacing([pitch, pitch, 1])
        empty.SetOrigin([-(w - 1) / 2 * pitch, -(h - 1) / 2 * pitch, 0])
        return placed, empty

    geometries = {count: geometry(count) for count in {1, len(job.poses)}}

    def run(filter_type: type, start: object, other: object, placed: object) -> object:
        step = filter_type[image_type, image_type].New()  # type: ignore[index]
        step.InPlaceOff()  # otherwise the empty image is consumed by the first call
        step.SetInput(0, start)
        step.SetInput(1, other)
        step.SetGeometry(placed)
        step.Update()
        return step.GetOutput()

    def project(count: int) -> Answer:
        placed, empty = geometries[count]
        image = run(rtk.JosephForwardProjectionImageFilter, empty, volume, placed)
        pixels = itk.array_from_image(image)
        if not job.gradient:
            return Answer(pixels)
        twice = itk.image_view_from_array(2 * itk.array_view_from_image(image))
        twice.CopyInformation(image)
        nothing = itk.image_view_from_array(np.zeros(itk.array_view_from_image(volume).shape, np.float32))
        nothing.CopyInformation(volume)
        back = run(rtk.JosephBackProjectionImageFilter, nothing, twice, placed)
        return Answer(pixels, volume_gradient=itk.array_from_image(back))

    return project, versions("itk-rtk", "itk-core")


if __name__ == "__main__":
    serve(build)
