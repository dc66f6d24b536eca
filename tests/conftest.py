"""Shape and type checks on in every test; shared folders found once; silent dtype promotion stays visible."""

import os
from pathlib import Path

from jaxtyping import install_import_hook

# numba compiles the plain functions of these files; the checker's wrappers would be in its way
import spondyl.xray.cpu_numba
import spondyl.xray.densities_numba  # noqa: F401

install_import_hook("spondyl", "typecheck.check")

import pytest  # noqa: E402

# The real scans and films that evaluation uses. They are not part of the repository: their licences differ.
DATA = Path(os.environ.get("SPONDYL_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real test data; a test that asks for it skips where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"no real test data at {DATA} (set SPONDYL_TEST_DATA)")
    return DATA
