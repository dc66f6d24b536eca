"""plastimatch's drr command, exact (Siddon), one process a view: start, reading the volume and writing are included."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from peers.job import Answer, Image, Job, Pose
from peers.serve import MissingError, Project, serve

PER_MM = 10.0  # it sums along centimetres: 1/mm times cm is a tenth


def build(job: Job) -> tuple[Project, str]:
    """The command over an .mha file; its own count of the seconds inside is kept for the note."""
    if shutil.which("plastimatch") is None:
        raise MissingError("not installed")
    if job.gradient:
        raise MissingError("no gradients")
    folder = Path(tempfile.mkdtemp(dir=Path(job.answer).parent))
    _write_mha(job, folder / "volume.mha")

    def project(count: int) -> Answer:
        INSIDE.clear()
        return Answer(np.stack([_one(job, pose, folder) for pose in job.poses[:count]]))

    said = subprocess.run(["plastimatch", "--version"], capture_output=True, text=True, check=False).stdout
    return project, " ".join(said.replace("version", "").split()[:2])


INSIDE: list[float] = []


def _write_mha(job: Job, path: Path) -> None:
    volume = np.load(job.volume, mmap_mode="r")
    header = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": " ".join(map(str, job.origin_mm())),
        "ElementSpacing": " ".join(map(str, job.spacing_mm)), "DimSize": " ".join(map(str, job.size_xyz())),
        "ElementType": "MET_FLOAT", "ElementDataFile": "LOCAL",
    }  # fmt: skip
    with path.open("wb") as file:
        file.write("".join(f"{key} = {value}\n" for key, value in header.items()).encode())
        for plane in volume:  # in parts: what this process holds would be counted as the child's memory
            file.write(np.ascontiguousarray(plane).tobytes())


def _one(job: Job, pose: Pose, folder: Path) -> Image:
    (h, w), pitch = job.detector_px, job.pixel_mm
    m, source = pose.matrix, pose.camera[:3, 3]
    to_source_mm = float(np.linalg.norm(source))
    command = ["plastimatch", "drr", "-A", "cpu", "-i", "exact", "-P", "none", "-t", "pfm", "-r", f"{h} {w}",
               "-z", f"{h * pitch} {w * pitch}", "--sad", str(to_source_mm), "--sid", str(pose.source_to_detector_mm),
               "-o", "0 0 0", "-n", _words(source / to_source_mm), "--vup", _words(-m[:3, 1]),
               "-I", str(folder / "volume.mha"), "-O", str(folder / "drr_")]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": str(job.threads)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"plastimatch drr failed: {(done.stderr or done.stdout).strip()[-200:]}")
    INSIDE.extend(float(s) for s in re.findall(r"Total time: ([\d.eE+-]+)", done.stdout))
    raw = next(folder.glob("drr_*.pfm")).read_bytes()
    return np.frombuffer(raw[-4 * h * w :], "<f4").reshape(h, w) * np.float32(PER_MM)


def _words(vector: Image) -> str:
    return " ".join(f"{x:.9f}" for x in vector)


def _note() -> str:
    return f"{1000 * sum(INSIDE):.0f} ms inside, by its own count"


if __name__ == "__main__":
    serve(build, note=_note, children=True)
