"""Any iterable becomes samples; anything else is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from streamhebb.errors import DTypeError, InputError
from streamhebb.sources import samples
from streamhebb.values import Sample


def test_tensors_pass_untouched_and_are_numbered():
    xs = [torch.rand(3, dtype=torch.float64), torch.rand(3, dtype=torch.float64)]
    got = list(samples(xs))
    assert [s.id for s in got] == [0, 1]
    assert all(a.x is b for a, b in zip(got, xs, strict=True))
    assert got[0].target is None


def test_a_generator_is_read_lazily():
    read = []

    def stream():
        for n in range(10):
            read.append(n)
            yield torch.zeros(1)

    got = samples(stream())
    assert read == []
    next(got)
    assert read == [0]


def test_uint8_bool_and_numpy_floats_become_float32():
    pixels = np.array([0, 51, 255], np.uint8)
    for item in (pixels, torch.from_numpy(pixels)):
        (got,) = samples([item])
        assert got.x.dtype == torch.float32
        assert got.x.tolist() == pytest.approx([0, 0.2, 1])
    (got,) = samples([np.array([True, False])])
    assert got.x.tolist() == [1, 0]
    (got,) = samples([np.array([0.5], ">f8")])
    assert got.x.dtype == torch.float32


def test_numpy_arrays_are_copied():
    reused = np.zeros(2, np.float32)
    stream = samples(reused for _ in range(2))
    first = next(stream)
    reused[:] = 7
    assert first.x.tolist() == [0, 0]


@pytest.mark.parametrize("pair", [(torch.ones(2), 3), [torch.ones(2), 3]])
def test_pairs(pair):
    (got,) = samples([pair])
    assert (got.x.tolist(), got.target) == ([1, 1], 3)


@pytest.mark.parametrize("label", [np.int64(3), np.array(3), torch.tensor(3), 3])
def test_scalar_labels_become_plain_values(label):
    (got,) = samples([(torch.ones(2), label)])
    assert got.target == 3
    assert type(got.target) is int


def test_samples_keep_what_they_carry():
    (got,) = samples([Sample(np.array([255], np.uint8), target="a", t=1.5, id=42)])
    assert (got.x.tolist(), got.target, got.t, got.id) == ([1], "a", 1.5, 42)


def test_batches_of_a_data_loader_come_through_whole():
    x, y = torch.rand(10, 1, 4, 4), torch.arange(10)
    got = list(samples(DataLoader(TensorDataset(x, y), batch_size=4)))
    assert [s.x.shape for s in got] == [(4, 1, 4, 4), (4, 1, 4, 4), (2, 1, 4, 4)]
    assert torch.equal(torch.cat([s.target for s in got]), y)
    assert torch.equal(torch.cat([s.x for s in got]), x)


def test_a_data_loader_without_labels_and_a_map_data_set():
    x = torch.rand(4, 3)
    got = list(samples(DataLoader(TensorDataset(x), batch_size=2)))
    assert got[1].target is None
    assert torch.equal(got[1].x, x[2:])

    class Endless:  # answers any index: only its length says where it ends
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return torch.full((2,), float(i)), i

    assert [s.target for s in samples(Endless())] == [0, 1, 2]


def test_a_tensor_is_read_along_its_first_dimension():
    assert [s.x.tolist() for s in samples(torch.eye(2))] == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("mnist", "open_source"),
        ({"a": 1}, "dict"),
        (3, "int"),
        (Sample(torch.zeros(1)), "Sample"),
        (torch.tensor(1.0), "Tensor"),
        ((torch.zeros(5, 2), torch.zeros(5)), "ArraySource"),
    ],
)
def test_no_source_is_refused_before_it_is_read(source, named):
    with pytest.raises(InputError, match=named):
        samples(source)


@pytest.mark.parametrize(
    ("item", "named"),
    [({"x": 1}, "dict"), ((torch.zeros(1), 1, 2), "tuple"), (0.5, "float"), ("ab", "str")],
)
def test_no_sample_is_refused_by_type_and_number(item, named):
    stream = samples([torch.zeros(1), item])
    next(stream)
    with pytest.raises(InputError, match=f"sample 1 is a {named}.*DataLoader"):
        next(stream)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, np.complex64])
def test_numbers_of_unknown_scale_are_refused(dtype):
    with pytest.raises(DTypeError, match="scale"):
        next(samples([np.zeros(3, dtype)]))


def test_leaving_the_loop_closes_the_source():
    closed = []

    def stream():
        try:
            while True:
                yield torch.zeros(1)
        finally:
            closed.append(True)

    got = samples(stream())
    next(got)
    got.close()
    assert closed == [True]
