"""Where samples come from. Sources know no net, layer, rule or scheduler."""

from streamhebb.sources._find import cache_folder, data_folders, found, source_names
from streamhebb.sources.arrays import ArraySource
from streamhebb.sources.base import Source, samples
from streamhebb.sources.camera import Camera
from streamhebb.sources.datasets import cifar10, cifar100, digits, fashion_mnist, mnist
from streamhebb.sources.folder import ImageFolder
from streamhebb.sources.open import open_source
from streamhebb.sources.paced import Paced
from streamhebb.sources.video import VideoFile

__all__ = [
    "ArraySource",
    "Camera",
    "ImageFolder",
    "Paced",
    "Source",
    "VideoFile",
    "cache_folder",
    "cifar10",
    "cifar100",
    "data_folders",
    "digits",
    "fashion_mnist",
    "found",
    "mnist",
    "open_source",
    "samples",
    "source_names",
]
