"""Build hook: compile the projector's C file where there is a compiler, and go on without it where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")


class CompileMarch(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles src/spondyl/xray/_march.c into a shared library beside it; numba serves where this cannot."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel or an editable install is put together."""
        if self.target_name != "wheel":
            return
        source = Path(self.root, "src/spondyl/xray/_march.c")
        library = source.with_suffix(SUFFIX)
        if os.environ.get("SPONDYL_NO_COMPILER") or not compile_library(source, library):
            library.unlink(missing_ok=True)
            self.app.display_warning("no C compiler: the projector will run in numba (slower, same numbers)")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = False
        build_data["tag"] = f"py3-none-{_platform_tag()}"
        build_data["artifacts"].append(str(library.relative_to(self.root)))


def compile_library(source: Path, library: Path) -> bool:
    """True where a compiler was found and made the library; its complaints are shown where it failed."""
    compiler = os.environ.get("CC") or next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        return False
    part = library.with_name(library.name + ".part")
    # contraction: fused multiply-add where the processor has it; no -march, the file picks its own code at run time
    flags = ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC"]
    done = subprocess.run(
        [*compiler.split(), *flags, str(source), "-o", str(part), "-lm"], capture_output=True, text=True
    )
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        part.unlink(missing_ok=True)
        return False
    part.replace(library)
    return True


def _platform_tag() -> str:
    import sysconfig

    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
