"""Where samples come from. Sources know no net, layer, rule or scheduler."""

from streamhebb.sources._find import cache_folder, data_folders, found, source_names, wanted
from streamhebb.sources.arrays import ArraySource
from streamhebb.sources.augment import CropFlip, Noise, ResizedCropFlip
from streamhebb.sources.base import Source, samples
from streamhebb.sources.camera import Camera
from streamhebb.sources.datasets import cifar10, cifar100, digits, fashion_mnist, mnist, stl10
from streamhebb.sources.folder import ImageFolder
from streamhebb.sources.imagenets import imagenet, imagenette
from streamhebb.sources.open import open_source
from streamhebb.sources.paced import Paced
from streamhebb.sources.twins import twin, twin_names
from streamhebb.sources.video import VideoFile

__all__ = [
    "ArraySource",
    "Camera",
    "CropFlip",
    "ImageFolder",
    "Noise",
    "Paced",
    "ResizedCropFlip",
    "Source",
    "VideoFile",
    "cache_folder",
    "cifar10",
    "cifar100",
    "data_folders",
    "digits",
    "fashion_mnist",
    "found",
    "imagenet",
    "imagenette",
    "mnist",
    "open_source",
    "samples",
    "source_names",
    "stl10",
    "twin",
    "twin_names",
    "wanted",
]
