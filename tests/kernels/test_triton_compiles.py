"""Triton's kernels become machine code for cards that are not there."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton", reason="needs the extra triton")
if platform.system() != "Linux":
    pytest.skip("Triton brings its assembler for Linux only", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
SHARED = {80: 163, 89: 99, 90: 227, 100: 227, 120: 99}  # KiB that one block may have


def compiled(capability: int, folder: Path, *words: str) -> list[dict[str, Any]]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(folder)}
    script = ROOT / "tests" / "kernels" / "triton_compiled.py"
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])
    command = [sys.executable, str(script), str(capability), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)["compiled"]
    return found


def check(found: list[dict[str, Any]], capability: int) -> None:
    names = {"product", "finish", "soft_wta", "soft_wta_wide"}
    names |= {"search", "gather", "renew", "apply"}
    names |= {"moments", "join", "follow", "lerp", "padded", "pooled", "powers"}
    assert {each["kernel"] for each in found} == names
    for each in found:
        assert each["shared"] <= SHARED[capability] * 1024, each
        if each["kernel"] in ("product", "renew"):  # a search for lengths alone needs none
            assert (each["unit"] is not None) == (each["precision"] != "ieee"), each


def test_every_kernel_compiles_for_the_oldest_card_served(tmp_path: Path) -> None:
    check(compiled(80, tmp_path), 80)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("capability", SHARED)
def test_every_kernel_compiles_for_every_card(capability: int, size: str, tmp_path: Path) -> None:
    check(compiled(capability, tmp_path, size), capability)
