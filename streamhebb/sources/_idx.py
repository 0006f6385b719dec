"""Reader of the IDX files of MNIST and its kin.

Layout: two zero bytes, a type code (8 = unsigned byte), the number of dimensions, each dimension
as a big-endian 32-bit number, then the values (format described at http://yann.lecun.com/exdb/mnist).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from streamhebb.errors import SourceError

_MAX_DEFLATE = 1032
"""Deflate never packs better than 1032 : 1, so a header that declares more is lying."""


def read_idx(path: Path, ndim: int) -> np.ndarray[Any, Any]:
    """Read one file of unsigned bytes, ``.gz`` or not.

    The size is taken from the header and compared with the size of the file before anything is
    allocated; never more is unpacked than the header declares.

    Args:
        path: the file.
        ndim: dimensions expected, 3 for images ``(N, H, W)``, 1 for labels ``(N,)``.

    Raises:
        SourceError: missing, truncated, corrupt, or not such a file; the message names file and
            cure.
    """
    try:
        stored = path.stat().st_size
        packed = path.suffix == ".gz"
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            return _read(file, path, ndim, stored, packed)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist") from error
    except EOFError as error:
        raise _bad(path, "is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _bad(path, f"is not an intact gzip file ({error})") from error
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _read(file: BinaryIO, path: Path, ndim: int, stored: int, packed: bool) -> np.ndarray[Any, Any]:
    magic = file.read(4)
    if len(magic) < 4:
        raise _bad(path, "is empty" if not magic else "is truncated")
    if magic != bytes((0, 0, 8, ndim)):
        raise _bad(
            path,
            f"starts with {magic.hex()}, an IDX file of {ndim} dimensions with 000008{ndim:02x}",
        )
    header = file.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise _bad(path, "is truncated")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
    size, begin = math.prod(shape), 4 + 4 * ndim
    if size == 0:
        raise _bad(path, f"declares {shape} and holds no samples")
    if size > _MAX_DEFLATE * stored if packed else begin + size > stored:
        raise _bad(path, f"is truncated: its header declares {shape}, {size} bytes")
    if not packed and begin + size < stored:
        raise _bad(path, f"is longer than its header declares ({shape})")
    values = np.empty(size, np.uint8)
    view, filled = values.data, 0
    while filled < size:
        # A step at a time: asking gzip for everything at once doubles the memory.
        got = file.readinto(view[filled : filled + (1 << 20)])  # type: ignore[attr-defined]
        if not got:
            raise _bad(path, f"is truncated: its header declares {shape}, {size} bytes")
        filled += got
    if file.read(1):  # also makes gzip check its checksum
        raise _bad(path, f"is longer than its header declares ({shape})")
    return values.reshape(shape)


def _bad(path: Path, what: str) -> SourceError:
    return SourceError(f"{path} {what}: delete it and fetch it again")
