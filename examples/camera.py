"""Features learned from a camera, live and without labels; Ctrl-C ends it.

You will see a line every two seconds: frames, frames a second, frames dropped because newer ones
had come, and the mean length of the weights, which nears 1 as features form. At the end these are
drawn into features.png: edges and bars. Where no camera opens (extra `camera`), a clip in the
folder `video` of STREAMHEBB_DATA takes its place (extra `video`), else the digits; it says which.
"""

import argparse
import contextlib
import time

import torch

import streamhebb as sh
from streamhebb.errors import SourceError, StreamhebbError
from streamhebb.pictures import receptive_fields, save
from streamhebb.sources import data_folders, digits, open_source

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source", nargs="?", default="camera:0", help="camera:N, address, or a clip")
parser.add_argument("--limit", type=int, default=500, help="frames to learn from")
parser.add_argument("--picture", default="features.png", help="where the features are drawn")
options = parser.parse_args()
torch.set_num_threads(1)  # small nets are seldom faster with more


def opened(stack):
    """The source that was asked for, if it opens; else a clip, else the digits."""
    clips = [clip for folder in data_folders() for clip in sorted(folder.glob("video/*.mp4"))]
    for choice in [options.source, *map(str, clips)]:
        try:
            return stack.enter_context(
                open_source(choice, size=(48, 64), gray=True, limit=options.limit)
            )
        except StreamhebbError as error:
            print(f"not from {choice}: {error}")
    return digits(limit=options.limit)


with contextlib.ExitStack() as stack:
    source = opened(stack)
    print(f"learning from {source.name}, samples of {source.shape}")
    parts = {"competition": sh.HardWTA(), "rate": sh.NormRate(0.03), "init": sh.Normal(radius=1.5)}
    layer = sh.Conv2d(1, 32, kernel_size=7, **parts)
    net = sh.StreamNet(sh.RunningNorm(1), layer, input_shape=source.shape)
    start = shown = time.perf_counter()
    try:
        for frame in source:
            net.step(frame)
            seen, now = net.counts["samples"], time.perf_counter()
            if now - shown > 2 or seen == options.limit:
                shown, dropped = now, source.counts.get("dropped", 0)
                rate, radius = seen / (now - start), float(layer.radius().mean())
                print(f"{seen:5} frames, {rate:.0f}/s, {dropped} dropped, radius {radius:.2f}")
    except (KeyboardInterrupt, SourceError) as reason:
        print(f"ended: {reason or 'Ctrl-C'}")
print(f"the features are in {save(receptive_fields(layer.kernel), options.picture)}")
