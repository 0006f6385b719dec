"""The last quarter, and the words of a summary."""

from __future__ import annotations

from streamhebb.run.summary import in_words, last_quarter, version


def row(sample, right, labelled=None):
    labelled = sample if labelled is None else labelled
    return {"sample": sample, "labelled": labelled, "accuracy": right / labelled}


def test_last_quarter_is_exact_where_there_is_a_line():
    rows = [row(25, 5), row(50, 20), row(75, 40), row(100, 62)]
    assert last_quarter(rows) == {"accuracy": 22 / 25, "from": 75, "samples": 25}


def test_last_quarter_takes_the_nearest_line():
    rows = [row(25, 5), row(50, 20), row(78, 40), row(100, 62)]
    assert last_quarter(rows) == {"accuracy": 1.0, "from": 78, "samples": 22}


def test_last_quarter_of_a_very_short_run_is_all_of_it():
    assert last_quarter([row(3, 1)]) == {"accuracy": 1 / 3, "from": 0, "samples": 3}


def test_last_quarter_without_any_label():
    rows = [{"sample": 5, "labelled": 0, "accuracy": None}]
    assert last_quarter(rows) is None


def test_words():
    summary = {
        "samples": 1797, "seconds": 4.0, "samples_per_second": 449.25, "neurons": 32,
        "converged": 0.5, "status": "finished", "accuracy": 0.875,
        "last_quarter": {"accuracy": 0.94, "from": 1348, "samples": 449},
    }  # fmt: skip
    assert in_words(summary) == [
        "prequential accuracy 87.5% overall, 94.0% over the last quarter",
        "1,797 samples in 4.0 s (449 a second); 32 neurons, 50% converged; finished",
    ]


def test_version_of_nothing():
    assert version("no-such-package-of-ours") is None
