"""The published experiments, one command each: what they find, beside what was published.

An *experiment* is a figure or a table: cells, each with a *trial* and, where there is one, the
published figure. A trial is one net, trained and measured once, from one seed; experiments share
trials. Its folder holds its settings, what was measured on the way, and its result.
"""

from streamhebb.suite.again import run_again
from streamhebb.suite.catalogue import experiments, find
from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.folder import TrialFolder
from streamhebb.suite.kinds import read_trial
from streamhebb.suite.offline import OfflineTrial
from streamhebb.suite.report import report
from streamhebb.suite.running import run_trial, run_trials
from streamhebb.suite.stream import StreamTrial
from streamhebb.suite.trial import Setup, Trial, Work

__all__ = [
    "Cell",
    "Experiment",
    "OfflineTrial",
    "Setup",
    "StreamTrial",
    "Trial",
    "TrialFolder",
    "Work",
    "experiments",
    "find",
    "read_trial",
    "report",
    "run_again",
    "run_trial",
    "run_trials",
]
