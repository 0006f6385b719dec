"""The one place that imports torchvision, for data sets only.

The compiled operators in torchvision's wheel do not load beside every torch (a CPU-only one, for
instance). Then ``import torchvision`` itself raises ``operator torchvision::nms does not exist``,
though data sets need none of its operators. Defining the two missing schemas mends the import.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

import torch

from streamhebb.sources._late import late

_lock = threading.Lock()
_library: Any = None  # torch forgets the schemas once this object is collected

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def datasets(purpose: str) -> Any:
    """The module ``torchvision.datasets``.

    Args:
        purpose: what it is needed for, for the message when it is missing.

    Raises:
        MissingExtraError: torchvision is not installed; the extra is ``data``.
    """
    with _lock:
        try:
            return late("torchvision.datasets", purpose, "data")
        except RuntimeError as error:
            if "torchvision::nms does not exist" not in str(error):
                raise
        return _mended()


def _mended() -> Any:
    global _library  # noqa: PLW0603 - kept alive: its schemas go when it goes
    # The failed import leaves half-built submodules behind.
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library: Any = torch.library
    _library = library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        _library.define(schema)
    return importlib.import_module("torchvision.datasets")
