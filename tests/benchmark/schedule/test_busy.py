from __future__ import annotations

import os
import subprocess
import sys

import pytest

from streamhebb.benchmark.schedule import busy
from streamhebb.benchmark.schedule.busy import neighbours


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_neighbours_run_while_the_block_is_open() -> None:
    with neighbours(2) as pids:
        assert len(set(pids)) == 2
        assert all(map(is_there, pids))
    assert not any(map(is_there, pids))


def test_an_interrupt_ends_them_too() -> None:
    with pytest.raises(KeyboardInterrupt), neighbours(1) as pids:
        raise KeyboardInterrupt
    assert not is_there(pids[0])


def test_nobody_is_needed_for_a_quiet_machine() -> None:
    with neighbours(0) as pids:
        assert pids == []


def test_a_neighbour_whose_parent_is_gone_ends_by_itself() -> None:
    # The parent named on its command line is not the process that started it.
    words = [sys.executable, "-c", busy._LOOP, "-1"]
    done = subprocess.run(words, timeout=30, capture_output=True, check=False)
    assert done.returncode == 0
