"""Presets: what they come to, as published; nets built, training planned."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import streamhebb as sh
from streamhebb import presets, spec
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.evaluate import Phase, split_blocks, train_phases
from streamhebb.presets import DataSettings, Preset

# As traced through the published implementation; the file says what its columns are.
LINES = (Path(__file__).parent / "shapes.txt").read_text("utf-8").splitlines()
ROWS = [[cell.strip() for cell in f"{line}|".split("|")] for line in LINES if line[0] != "#"]

# The names of the published implementation for what `resolve` gives.
PUBLISHED = {
    "in_channels": "n_in", "out_channels": "n_out", "weight_init": "init",
    "weight_init_range": "scale", "radius": "radius", "lr": "lr", "power_lr": "power",
    "t_invert": "t", "adaptive": "by_radius", "hebbian": "hebbian", "lebesgue_p": "norm_p",
}  # fmt: skip


def test_every_field_of_every_preset_as_published(golden_dir):
    path = golden_dir / "presets_resolved.json"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in STREAMHEBB_GOLDEN")
    wanted = json.loads(path.read_text("utf-8"))
    assert len(wanted) == 22
    for key, blocks in wanted.items():
        name, _, data = key.partition("@")
        settings = presets.data_settings(data)
        found = presets.find(name).resolve(settings.shape, settings.classes)
        assert [f"b{n}" for n in range(len(found))] == list(blocks), key
        for block, resolved in zip(blocks.values(), found, strict=True):
            assert set(block) == set(PUBLISHED)
            for published, own in PUBLISHED.items():
                value = getattr(resolved, own)
                value = value.lower() if own == "init" else value
                exact = value == block[published]
                assert exact or value == pytest.approx(block[published], rel=1e-12), (key, own)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}@{row[1]}")
def test_shapes_and_scales_as_published(row):
    name, side, shapes, inputs, scales, _ = row
    preset = presets.find(name)
    channels = 1 if "MNIST" in name else 3
    *hidden, readout = preset.resolve((channels, int(side), int(side)))
    assert readout.n_in == int(inputs)
    if shapes:
        assert ["x".join(map(str, block.shape)) for block in hidden] == shapes.split()
    found = [block.scale for block in (*hidden, readout) if block.hebbian]
    assert found == pytest.approx([float(scale) for scale in scales.split()], rel=3e-5)


def test_the_table_has_every_published_preset():
    published = {name for name in presets.names() if presets.find(name).published}
    assert {row[0] for row in ROWS} == published
    assert len(published) == 41


def small(name: str, **changes: Any) -> Preset:
    """A preset with few neurons, so that nets are built in no time."""
    preset = presets.find(name)
    blocks = []
    for block in preset.blocks[:-1]:
        rule, n_out, *keys = block.layer.split("-")
        few = max(4, int(n_out[1:]) // 48)
        keys = [key if not key.startswith("g") else "g2" for key in keys]
        layer = "-".join([rule, f"c{few - few % 2}", *keys])
        blocks.append(block.model_copy(update={"layer": layer}))
    return preset.model_copy(update={"blocks": (*blocks, preset.blocks[-1])} | changes)


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_becomes_a_net(name):
    preset = small(name)
    settings = presets.data_settings(preset.supervised)
    side = {28: 28, 32: 32}.get(settings.shape[1], 64)
    shape = (settings.shape[0], side, side)
    without, with_labels = (each.but(shape=shape) for each in preset.data())
    net, blocks, stages = preset.build(unsupervised=without, supervised=with_labels, seed=3)
    assert net.input_shape == shape
    assert net.seed == 3
    found = preset.resolve(shape)
    assert net.readout.n_in == found[-1].n_in
    assert net.labels == tuple(range(settings.classes))
    if not any(block.norm for block in preset.blocks):  # that of a block would begin the next
        assert blocks == split_blocks(net), "blocks are where train_phases would look for them"
    assert len(blocks) == len(preset.blocks) - 1
    out: Any = torch.zeros(2, *shape)
    for part, resolved in zip(blocks, found, strict=False):
        for i in part:
            out = net.layers[i].respond(out)
        flat = (math.prod(resolved.shape),)
        assert tuple(out.shape[1:]) in (resolved.shape, flat)
    learns = {n for stage in stages for n in stage.phase.blocks}
    readout = len(blocks)
    assert learns == ({readout} if preset.hidden == "random" else set(range(readout + 1)))
    plastic = [layer for layer in net.layers if isinstance(layer, sh.PlasticLayer)]
    assert all(layer.plasticity == (preset.hidden == "learns") for layer in plastic)
    # what a preset shows can be read back, and is the same net
    again = spec.build(spec.parse(preset.describe(without, with_labels, seed=3), name),
                       classes=settings.classes)  # fmt: skip
    assert again.describe() == net.describe()
    assert all(torch.equal(a, b) for a, b in zip(again.buffers(), net.buffers(), strict=True))


def test_presets_of_our_own_say_so():
    for name in ("hard-wta-mnist-mlp", "backprop-mnist-mlp"):
        preset = presets.find(name)
        assert not preset.published
        soft = presets.find("2SoftMlpMNIST")
        assert [b.n_out for b in preset.blocks] == [b.n_out for b in soft.blocks]


def test_the_net_that_comes_along_is_the_same_net():
    file = sh.build("softhebb-cifar10", input_shape=(3, 32, 32), seed=1)
    net = presets.build("softhebb-cifar-3conv", seed=1).net
    assert net.describe()["layers"] == file.describe()["layers"]
    assert torch.equal(net.layers[1].weight, file.layers[1].weight)


# ---- stages -----------------------------------------------------------------------------------


def stages(name: str, **wishes: Any) -> list[tuple[Any, ...]]:
    preset = presets.find(name)
    found = preset.stages(*preset.data(), **wishes)
    return [
        (s.data.name, s.phase.blocks, s.phase.epochs, s.phase.batch_size, s.phase.lr,
         s.phase.dropout, s.phase.seed)
        for s in found
    ]  # fmt: skip


def test_stages_of_a_hebbian_net():
    own = [("CIFAR10_1", (n,), 1, 10, None, 0.0, 5) for n in range(3)]
    readout = ("CIFAR10_50", (3,), 50, 64, 0.001, 0.5, 0)
    assert stages("4SoftHebbCnnCIFAR", seed=5) == [*own, readout]
    together = stages("4SoftHebbCnnCIFAR", mode="consecutive", seed=5)
    assert together == [("CIFAR10_1", (0, 1, 2), 1, 10, None, 0.0, 5), readout]
    at_once = stages("4SoftHebbCnnCIFAR", mode="simultaneous")
    assert at_once == [("CIFAR10_50", (0, 1, 2, 3), 50, 64, 0.001, 0.5, 0)]


def test_stages_of_back_propagation():
    assert stages("5CnnSTL") == [("STL10_100aug", (0, 1, 2, 3, 4), 100, 64, 0.001, 0.5, 0)]
    apart = stages("2CnnCIFAR", mode="successive")
    # a readout that does not learn itself is not in training: no dropout
    assert apart == [
        ("CIFAR10_50", (0,), 50, 64, 0.001, 0.0, 0), ("CIFAR10_50", (1,), 50, 64, 0.001, 0.5, 0)
    ]  # fmt: skip


def test_stages_of_the_others():
    assert stages("2SoftMlpMNIST") == [
        ("MNIST_1-32", (0,), 1, 32, None, 0.0, 0), ("MNIST_10", (1,), 10, 32, 0.001, 0.0, 0)
    ]  # fmt: skip
    assert stages("random-stl-3conv") == [("STL10_100aug", (3,), 100, 64, 0.001, 0.4, 0)]
    assert [row[:2] for row in stages("normed-random-cifar-1conv")] == [
        ("CIFAR10_1", (0,)), ("CIFAR10_50", (1,))
    ]  # fmt: skip
    assert [row[:2] for row in stages("2HardCnnCIFAR_speed")] == [("CIFAR10_1-50", (0, 1))]
    assert stages("2SoftHebbCnnCIFAR", hidden="random") == stages("random-cifar-1conv")


def test_a_teachers_rate_is_the_smallest_asked_for():
    preset = small("3CnnCIFAR")
    slow = preset.blocks[1].model_copy(update={"layer": "BP-c8-k3-p1-ls0.0002"})
    preset = preset.model_copy(update={"blocks": (preset.blocks[0], slow, preset.blocks[2])})
    assert preset.stages(*preset.data())[0].phase.lr == 0.0002


def test_data_by_pair_and_by_name():
    preset = presets.find("3SoftHebbCnnCIFAR")
    named = lambda *args, **more: [s.name for s in preset.data(*args, **more)]  # noqa: E731
    assert named() == ["CIFAR10_1", "CIFAR10_50"]
    assert named("stl10") == ["STL10_unlabel", "STL10_100aug"]
    assert named(supervised="CIFAR10_20") == ["CIFAR10_1", "CIFAR10_20"]
    assert named("imagenette", unsupervised="ImageNette_5") == ["ImageNette_5", "ImageNette_200aug"]
    own = presets.data_settings("CIFAR10_2").but(samples=7)
    assert preset.data(unsupervised=own)[0] is own
    with pytest.raises(ConfigError, match=r"\(3, 32, 32\).*\(3, 96, 96\); give both"):
        preset.data(supervised="STL10_50")
    assert [s.name for s in presets.find("3CnnCIFAR").data()] == ["CIFAR10_50", "CIFAR10_50"]


def test_other_data_change_shapes_classes_and_schedules():
    preset = small("2HardCnnCIFA_speed_linearDecay", mode="successive")
    settings = presets.data_settings("CIFAR100_2").but(samples=1000)
    net, _, _ = preset.build(unsupervised=settings, supervised="CIFAR100_50")
    assert len(net.labels) == 100
    assert net.layers[1].rate == sh.LinearDecay(0.025, 2 * 1000 / 10)


def test_what_does_not_fit_is_refused_before_anything_large_is_drawn():
    preset = presets.find("6SoftHebbCnnImNet")
    tiny = presets.data_settings("CIFAR10_50").but(shape=(3, 8, 8))
    with pytest.raises(ShapeError, match="reflects beyond"):  # 8 pixels halved five times
        preset.build(supervised=tiny, unsupervised=tiny)
    with pytest.raises(ConfigError, match="hidden='frozen'"):
        preset.build(hidden="frozen")
    with pytest.raises(ConfigError, match="mode='backwards'"):
        preset.build(mode="backwards")


BLOCKS = [{"layer": "soft-c4", "before": "flatten"}, {"layer": "BP-c10"}]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"blocks": BLOCKS[:1]}, "at least 2"),
        ({"blocks": BLOCKS[::-1]}, "cannot be the last block"),
        ({"blocks": [{**BLOCKS[0], "dropout": 0.5}, BLOCKS[1]]}, "dropout is for readouts"),
        ({"blocks": [{"layer": "supervisedsoftkrotov-c4"}, BLOCKS[1]]}, "last block only"),
        ({"supervised": "CIFAR10_51"}, "did you mean"),
        ({"mode": "backwards"}, "'successive', 'consecutive'"),
        ({"hidden": "frozen"}, "'learns', 'random'"),
        ({"moed": "successive"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_a_preset(values, said):
    with pytest.raises(ValueError, match=said):
        Preset(**({"name": "x", "blocks": BLOCKS, "supervised": "MNIST_10"} | values))


@pytest.mark.parametrize("hidden", ["learns", "random", "normed"])
def test_what_changes_in_hidden_blocks(hidden):
    preset = small("3SoftHebbCnnCIFAR")
    tiny = presets.data_settings("CIFAR10_1").but(shape=(3, 16, 16))
    net, blocks, plan = preset.build(unsupervised=tiny, supervised=tiny, hidden=hidden, seed=1)
    before = [layer.weight.clone() for layer in net.layers if isinstance(layer, sh.Conv2d)]
    chance = torch.Generator().manual_seed(0)
    pair = torch.rand(30, 3, 16, 16, generator=chance) + 1, [0, 1, 2] * 10
    for stage in plan:
        train_phases(net, stage.phase, pair, blocks=blocks)
    after = [layer.weight for layer in net.layers if isinstance(layer, sh.Conv2d)]
    norms = [layer for layer in net.layers if isinstance(layer, sh.BatchNorm)]
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old, new) == (hidden != "learns")
    for norm in norms:
        moved = bool(norm.mean.any()) and not torch.equal(norm.var, torch.ones_like(norm.var))
        assert moved == (hidden != "random"), "published: mean 0 and variance 1 for good"
    assert bool(net.readout.weight.any())


# ---- against what the published implementation computed ---------------------------------------

LIMIT, LOOSE = 2e-5, 1e-4  # powers below 1 amplify round-off near 0


def apart(found: torch.Tensor, wanted: Any) -> float:
    wanted = torch.as_tensor(wanted)
    assert found.shape == wanted.shape
    return float((found - wanted).abs().max() / wanted.abs().max())


def arrays(path):
    np = pytest.importorskip("numpy")
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files}
    return json.loads(str(found.pop("meta"))), found


def cases(folder, pattern):
    found = sorted(folder.glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} in STREAMHEBB_GOLDEN")
    return found


def test_blocks_compute_what_the_published_ones_did(golden_dir):
    for path in cases(golden_dir, "block_*.npz"):
        meta, data = arrays(path)
        block = presets.Block(
            layer=meta["preset"], before=meta["op"], activation=meta.get("act") or "",
            pool=meta.get("pool") or "", norm=bool(meta.get("bn")),
        )  # fmt: skip
        layers = block.describe(100)
        net = spec.build(spec.parse({"layers": layers}, path.stem), input_shape=data["x"].shape[2:])
        plastic = next(layer for layer in net.layers if isinstance(layer, sh.PlasticLayer))
        plastic.set_weight(torch.from_numpy(data["w0"]))
        for step in range(3):
            out = net.step(torch.from_numpy(data["x"][step])).scores
            assert apart(out, data[f"train_out{step}"]) < LOOSE, path.stem
            assert apart(plastic.kernel, data[f"w{step + 1}"]) < LIMIT, path.stem
        assert apart(net.respond(torch.from_numpy(data["x"][3])).scores, data["eval_out"]) < LOOSE


def test_presets_train_as_the_published_implementation_did(golden_dir):
    for path in cases(golden_dir, "modes_*.npz"):
        meta, data = arrays(path)
        preset = Preset(
            name=path.stem, supervised="CIFAR10_50", mode=meta["mode"],
            hidden="random" if meta["training_blocks"] else "learns",
            blocks=[
                {"layer": b["preset"], "before": b["operation"], "pool": b.get("pool") or "",
                 "activation": b.get("activation") or ""}
                for b in meta["net"].values()
            ],
        )  # fmt: skip
        batch, n = meta["dataset"]["batch_size"], meta["dataset"]["training_sample"]
        without, with_labels = (
            DataSettings(
                name=kind, source="cifar10", shape=data["x"].shape[2:], batch_size=batch,
                samples=n, classes=len(data["logits_test"][0]), epochs=meta[f"nb_epoch_{kind}"],
            )
            for kind in ("unsup", "sup")
        )  # fmt: skip
        net, blocks, plan = preset.build(unsupervised=without, supervised=with_labels)
        plastic = [layer for layer in net.layers if isinstance(layer, sh.PlasticLayer)]
        for number, layer in enumerate(plastic):
            layer.set_weight(torch.from_numpy(data[f"b{number}_w0"]))
        net.readout.weight.copy_(torch.from_numpy(data[f"b{len(blocks)}_w0"]))
        if hasattr(net.readout, "bias"):
            net.readout.bias.copy_(torch.from_numpy(data["classifier_b0"]))
        else:  # published: the schedule of a readout lasts as long as phases without labels do
            net.readout.rate = sh.LinearDecay(net.readout.rate.lr, without.steps)
        pair = torch.from_numpy(data["x"]).flatten(0, 1), data["y"].flatten().tolist()
        assert [list(stage.phase.blocks) for stage in plan] == [
            meta["phases"][name]["blocks"] for name in sorted(meta["phases"])
        ]
        for stage in plan:
            phase = stage.phase
            own = {name: getattr(phase, name) for name in ("blocks", "epochs", "batch_size", "lr")}
            train_phases(net, Phase(**own, shuffle=False, stretch=False), pair,
                         blocks=blocks)  # fmt: skip
        found = net.respond(torch.from_numpy(data["x_test"])).scores
        assert apart(found, data["logits_test"]) < LIMIT, path.stem
        last = sorted(meta["phases"])[-1]
        for number, layer in enumerate(plastic):
            key = f"after_{last}_b{number}_w"
            if key in data:
                assert apart(layer.kernel, data[key]) < LIMIT, (path.stem, number)
