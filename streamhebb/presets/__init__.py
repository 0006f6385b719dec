"""The published suite as data: nets, the data they saw, how they were trained."""

from streamhebb.presets.blocks import Block
from streamhebb.presets.catalogue import build, find, names
from streamhebb.presets.data import (
    DataSettings,
    data_names,
    data_pair,
    data_settings,
    describe_data,
)
from streamhebb.presets.language import LayerCode, read_layer
from streamhebb.presets.prepare import Prepared, load_data
from streamhebb.presets.preset import Built, Preset, Resolved, Stage
from streamhebb.presets.show import data_yaml, net_yaml, preset_yaml
from streamhebb.presets.streaming import Streaming

__all__ = [
    "Block",
    "Built",
    "DataSettings",
    "LayerCode",
    "Prepared",
    "Preset",
    "Resolved",
    "Stage",
    "Streaming",
    "build",
    "data_names",
    "data_pair",
    "data_settings",
    "data_yaml",
    "describe_data",
    "find",
    "load_data",
    "names",
    "net_yaml",
    "preset_yaml",
    "read_layer",
]
