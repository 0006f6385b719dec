"""Passes over a matrix: what they compute, and the same bits cut or whole, alone or in threads."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamhebb import sharing
from streamhebb.kernels import passes
from streamhebb.schedule import Task, Threads, make_plan

sizes = st.tuples(st.integers(1, 17), st.integers(1, 40))


def draw(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", autouse=True)
def cut_small():
    """Matrices of tests are cut as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "cut", functools.partial(sharing.cut, least=64))
        yield


@given(sizes, st.sampled_from([1.0, 2.0, 3.0, float("inf")]), st.integers(0, 99))
def test_row_norms(shape, p, seed):
    matrix = draw(shape, seed)
    expected = torch.tensor([
        max(map(abs, row)) if p == float("inf") else sum(abs(v) ** p for v in row) ** (1 / p)
        for row in matrix.tolist()
    ])  # fmt: skip
    with torch.no_grad():
        torch.testing.assert_close(passes.row_norms(matrix, p), expected)
        assert torch.equal(passes.row_norms(matrix, p), torch.linalg.vector_norm(matrix, p, dim=1))


def test_row_norms_have_a_gradient_where_one_is_asked_for():
    matrix = draw((9, 30), 0).requires_grad_()
    passes.row_norms(matrix).sum().backward()
    torch.testing.assert_close(matrix.grad, (matrix / matrix.norm(dim=1, keepdim=True)).detach())


@given(sizes, st.integers(0, 99))
def test_largest(shape, seed):
    matrix = draw(shape, seed)
    assert float(passes.largest(matrix)) == max(abs(v) for row in matrix.tolist() for v in row)


def test_largest_shows_what_is_not_finite_wherever_it_is():
    for row in range(10):
        matrix = draw((10, 30), row)
        matrix[row, 7] = float("nan")
        assert torch.isnan(passes.largest(matrix))
        matrix[row, 7] = -float("inf")
        assert float(passes.largest(matrix)) == float("inf")


@given(sizes, st.sampled_from(["number", "scalar", "rows"]), st.integers(0, 99))
def test_add_scaled(shape, kind, seed):
    matrix, change = draw(shape, seed), draw(shape, seed + 1)
    step = {"number": 0.3, "scalar": torch.tensor(0.3), "rows": draw((shape[0], 1), seed + 2)}[kind]
    expected = matrix + step * change
    passes.add_scaled(matrix, change, step)
    torch.testing.assert_close(matrix, expected)


def test_threads_give_the_same_bits():
    matrix, change, step = draw((60, 90), 0), draw((60, 90), 1), draw((60, 1), 2)

    def work(frame):
        frame["norms"] = passes.row_norms(frame["matrix"])
        frame["largest"] = passes.largest(frame["matrix"])
        passes.add_scaled(frame["matrix"], change, step)

    alone, shared = {"matrix": matrix.clone()}, {"matrix": matrix.clone()}
    with torch.no_grad():
        work(alone)
    threads = Threads(2)
    threads.submit(make_plan([Task("work", 0, (), work)]), shared).wait()
    threads.close()
    assert all(torch.equal(alone[name], shared[name]) for name in alone)
