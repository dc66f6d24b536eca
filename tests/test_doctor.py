"""The doctor: it names what is there, what is missing, and a torchvision that dies at import, without importing it."""

import sys
import tomllib
from pathlib import Path

import pytest

from spondyl import doctor

ROOT = Path(__file__).resolve().parents[1]


def install(folder: Path, name: str, version: str, code: str) -> None:
    """A distribution of one package, laid down as pip would."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)


def test_the_doctor_knows_the_packages_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [item.split(">")[0].split("=")[0] for item in project["dependencies"]]
    assert set(doctor.CORE) == set(names)
    for extra, packages in doctor.EXTRAS.items():
        wanted = [item.split(">")[0] for item in project["optional-dependencies"][extra]]
        assert set(packages) == set(wanted), extra


def test_every_topic_is_examined_and_said_on_one_line() -> None:
    findings = doctor.examine()
    topics = [finding.topic for finding in findings]
    for topic in ("spondyl", "python", "packages", "cpu", "cuda", "memory", "projector", "extra dicom", "torchvision"):
        assert topic in topics
    assert all("\n" not in finding.text and finding.text for finding in findings)


def test_a_torchvision_built_for_another_torch_is_found_and_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = "raise RuntimeError('operator torchvision::nms does not exist')\n"
    install(tmp_path, "torchvision", "0.28.0", dies)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = doctor.torchvision()
    assert found.state == "problem"
    assert "operator torchvision::nms does not exist" in found.text
    assert "pip uninstall torchvision" in found.text
    assert "torchvision" not in sys.modules


def test_a_torchvision_that_imports_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "torchvision", "0.28.0", "")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor.torchvision().state == "ok"
    assert "torchvision" not in sys.modules


def test_a_missing_extra_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "dicom", ("pydicom", "no-such-package-at-all"))
    found = next(f for f in doctor.examine() if f.topic == "extra dicom")
    assert found.state == "missing"
    assert "no-such-package-at-all" in found.text
    assert "pip install 'spondyl[dicom]'" in found.text


def test_too_little_memory_is_a_problem_and_plenty_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free_memory_gb", lambda: 0.5)
    assert doctor.memory().state == "problem"
    monkeypatch.setattr(doctor, "free_memory_gb", lambda: 8.0)
    assert doctor.memory().state == "ok"
    monkeypatch.setattr(doctor, "free_memory_gb", lambda: None)
    assert doctor.memory().state == "ok"


def test_a_projector_that_does_not_import_is_a_problem_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spondyl.xray.project", None)
    found = next(f for f in doctor.examine() if f.topic == "projector")
    assert found.state == "problem"
