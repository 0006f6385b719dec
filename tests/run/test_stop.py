"""Signals: noted once, deadly twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from streamhebb.run.stop import Stop


def test_the_first_signal_is_noted():
    told = []
    before = signal.getsignal(signal.SIGINT)
    with Stop(told.append) as stop:
        assert stop.exit_code == 0
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT
        assert stop.exit_code == 130
    assert told == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_too():
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.exit_code == 143


def test_the_second_signal_kills():
    code = (
        "import signal\nfrom streamhebb.run.stop import Stop\n"
        "with Stop():\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('never', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "still here\n"
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""


def test_outside_the_main_thread_it_does_no_harm():
    found = []

    def work():
        with Stop() as stop:
            stop.ask(2)
            found.append(stop.exit_code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [130]
