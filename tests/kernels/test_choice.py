from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.kernels import choice
from streamhebb.values import LocalUpdate, Outer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    monkeypatch.setattr(choice, "_called", deque(maxlen=64))
    monkeypatch.setattr(choice, "_found", {})


def test_torch_unless_chosen() -> None:
    assert kernels.backend() == "torch"


def test_a_plain_call_stays_and_a_block_ends() -> None:
    kernels.use("numba")
    assert kernels.backend() == "numba"
    with kernels.use("torch"):
        assert kernels.backend() == "torch"
        with kernels.use("numba"):
            assert kernels.backend() == "numba"
        assert kernels.backend() == "torch"
    assert kernels.backend() == "numba"
    kernels.use("torch")
    assert kernels.backend() == "torch"


def test_a_block_ends_with_an_error_too_and_can_be_entered_again() -> None:
    chosen = kernels.use("numba")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), chosen:
            assert kernels.backend() == "numba"
            raise ZeroDivisionError
        assert kernels.backend() == "torch"


def test_auto_is_numba_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with kernels.use("auto"):
        assert kernels.backend() == "numba"
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    with kernels.use("auto"):
        assert kernels.backend() == "torch"


@pytest.mark.parametrize("name", ["numpy", "", "Torch", "bf16"])
def test_an_unknown_backend_is_refused_and_changes_nothing(name: str) -> None:
    kernels.use("numba")
    with pytest.raises(ConfigError, match=rf"no backend '{name}'; choose one of \('auto', 'numba'"):
        kernels.use(name)
    assert kernels.backend() == "numba"


def test_the_variable_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMHEBB_KERNELS", "numba")
    assert kernels.backend() == "numba"
    with kernels.use("torch"):
        assert kernels.backend() == "torch"


def test_a_wrong_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMHEBB_KERNELS", "fast")
    with pytest.raises(ConfigError, match="STREAMHEBB_KERNELS: there is no backend 'fast'"):
        kernels.drive(torch.ones(1, 1), torch.ones(1, 1))


def test_numba_that_cannot_be_imported_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamhebb.kernels.numba_backend", None)
    with pytest.raises(ConfigError, match="'numba' cannot be imported .*choose 'torch'"):
        kernels.use("numba")
    assert kernels.backend() == "torch"


def test_triton_that_is_not_there_says_which_extra_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    cure = r"'triton' cannot be imported .*choose 'torch', .* pip install 'streamhebb\[triton\]'"
    with pytest.raises(ConfigError, match=cure):
        kernels.use("triton")
    assert kernels.backend() == "torch"


def test_triton_is_chosen_by_name() -> None:
    pytest.importorskip("triton", reason="needs the extra triton")
    with kernels.use("triton"):
        assert kernels.backend() == "triton"


def test_modules_of_triton_kernels_load_without_it_and_leave_the_work_to_torch() -> None:
    code = (
        "import sys, torch; sys.modules['triton'] = None;"
        "from streamhebb.kernels import triton_backend as t;"
        "w = torch.ones(1, 2); x = torch.tensor([[3.0, 4.0]]); y = torch.ones(1, 1);"
        "print(t.renews(y, x, None, w), t.drive(x, w).item())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert out.strip() == "False 7.0"


def test_the_choice_is_that_of_all_threads() -> None:
    with kernels.use("numba"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(kernels.backend).result() == "numba"


def test_blocks_of_two_threads_that_overlap_leave_nothing_behind() -> None:
    first, second = kernels.use("numba"), kernels.use("torch")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert kernels.backend() == "torch"
    second.__exit__(None, None, None)
    assert kernels.backend() == "torch"


def test_many_threads_choose_and_work_at_once() -> None:
    chance = torch.Generator().manual_seed(0)
    post, pre, weight = (torch.randn(*s, generator=chance) for s in ((2, 9), (2, 7), (9, 7)))
    index = torch.randint(7, (9, 7), generator=chance)
    update = LocalUpdate((Outer(post, pre),), post)
    expected = kernels.accumulate(update, weight, torch.empty_like(weight), index)
    ready = threading.Barrier(4)

    def work(name: str) -> None:
        ready.wait()
        for _ in range(200):
            with kernels.use(name):
                found = kernels.accumulate(update, weight, torch.empty_like(weight), index)
            torch.testing.assert_close(found, expected)

    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(work, name) for name in ("torch", "numba", "auto", "torch")]:
            result.result()
    assert kernels.backend() == "torch"


def test_numba_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys, torch, streamhebb as sh;"
        "layer = sh.Dense(3, 2); layer.learn(layer.observe(torch.rand(1, 3))[1]);"
        "print('numba' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert out.strip() == "False"
