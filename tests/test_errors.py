"""One tree of exceptions, and each is also the built-in a caller would expect."""

import inspect

import pytest

from streamhebb import errors

ALL = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_exception_hangs_on_the_tree(cls):
    root = UserWarning if cls.__name__.endswith("Warning") else errors.StreamhebbError
    assert issubclass(cls, root)
    assert cls.__name__ in (errors.__doc__ or ""), "draw it in the tree at the top of errors.py"


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.ConfigError, ValueError),
        (errors.ShapeError, ValueError),
        (errors.DTypeError, TypeError),
        (errors.NonFiniteError, ValueError),
        (errors.LabelError, ValueError),
        (errors.DivergedError, ArithmeticError),
        (errors.SnapshotError, ValueError),
        (errors.TraceError, ValueError),
        (errors.SourceError, OSError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_every_exception_is_a_builtin_too(cls, builtin):
    assert issubclass(cls, builtin)


def test_a_missing_extra_says_how_to_get_it():
    error = errors.MissingExtraError("reading a camera", "camera")
    assert error.extra == "camera"
    assert "pip install 'streamhebb[camera]'" in str(error)
