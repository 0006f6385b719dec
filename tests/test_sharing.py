"""Work in pieces: the cut depends on sizes only, and everything is done once."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.sharing import crew, cut, in_pieces


@given(st.integers(1, 500), st.integers(0, 1 << 30), st.integers(1, 1 << 24), st.integers(1, 20))
def test_slices_cover_all_rows_once_and_are_nearly_equal(rows, work, least, most):
    slices = cut(rows, work, least=least, most=most)
    assert [row for each in slices for row in range(rows)[each]] == list(range(rows))
    sizes = [each.stop - each.start for each in slices]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert len(slices) <= most
    assert len(slices) == 1 or work // len(slices) >= least


def test_little_work_is_not_cut():
    assert cut(1000, 1 << 20) == [slice(0, 1000)]
    assert len(cut(1000, 1 << 40)) == 6
    assert len(cut(3, 1 << 40)) == 3


def test_alone_pieces_are_done_in_order():
    done = []
    in_pieces(done.append, 4)
    in_pieces(done.append, 0)
    assert done == [0, 1, 2, 3]


class Hands:
    """Does pieces backwards."""

    def __init__(self):
        self.calls = []

    def share(self, piece, count):
        self.calls.append(count)
        for number in reversed(range(count)):
            piece(number)


def test_a_crew_is_asked_in_its_own_thread_only_and_inside_only():
    hands, inner, done = Hands(), Hands(), []
    with crew(hands):
        in_pieces(done.append, 3)
        with crew(inner):
            in_pieces(done.append, 2)
        in_pieces(done.append, 2)
        other = threading.Thread(target=in_pieces, args=(done.append, 2))
        other.start()
        other.join()
        in_pieces(done.append, 1)
    in_pieces(done.append, 2)
    assert done == [2, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1]
    assert (hands.calls, inner.calls) == ([3, 2], [2])


def test_a_crew_is_gone_after_an_error():
    hands, count = Hands(), itertools.count()
    with pytest.raises(ZeroDivisionError), crew(hands):
        in_pieces(lambda n: 1 // n, 2)
    in_pieces(lambda n: next(count), 5)
    assert hands.calls == [2]
    assert next(count) == 5
