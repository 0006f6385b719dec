import io
import zipfile

import numpy as np
import pytest

from streamhebb.errors import ConfigError, SourceError
from streamhebb.verify import format_line, verify_folder
from tests.verify import scalar
from tests.verify.test_layers import load


@pytest.fixture
def case(made):
    return load(made / "linear_soft_sigmoid.npz")


def result_of(folder):
    summary = verify_folder(folder)
    (result,) = summary.results
    assert summary.exit_code == (1 if result.status == "failed" else 0)
    assert "\n" not in format_line(result)
    return result


def test_the_published_vectors(golden):
    seen = []
    summary = verify_folder(golden, report=seen.append)
    assert [r.name for r in summary.results if r.status != "passed"] == []
    assert tuple(seen) == summary.results
    assert summary.line() == f"{len(seen)} passed, 0 failed"
    assert summary.exit_code == 0
    for result in summary.results:
        assert not any("not compared" in note for note in result.notes), result.name
        assert set(result.worst) == {"float32", "float64"}, result.name


def test_one_wrong_number_in_a_published_vector(golden, tmp_path):
    for name, key in (
        ("conv_softkrotov_mode1", "w20"),
        ("demo_net_small_b1", "conv3_w_after"),
        ("block_04_softkrotov_avg220_b1", "eval_out"),
        ("activations", "triangle_2__x4"),
        ("activations", "powerloss_m6"),
        ("lr_schedules", "classifier_full_30"),
        ("weight_init", "demo_classifier_bias"),
        ("conv_hardkrotov", "win20"),
        ("linear_supervised", "w20"),
        ("modes_successive", "after_t2_b1_bn0_var"),
        ("modes_consecutive", "after_t1_b2_w"),
        ("modes_simultaneous", "logits_test"),
        ("modes_random_features", "after_t0_classifier_b"),
        ("modes_mlp_successive", "log_t0"),
        ("modes_hebbian_classifier", "log_t1"),
        ("neuron_labels", "accuracy"),
    ):
        if not (golden / f"{name}.npz").is_file():
            pytest.skip(f"{name} is not among the reference vectors")
        arrays, meta = load(golden / f"{name}.npz")
        arrays[key] = arrays[key].copy()
        flat = arrays[key].reshape(-1)
        flat[-1] += 1e-3 * np.abs(flat).max()
        scalar.write(tmp_path / "case.npz", arrays, meta)
        assert result_of(tmp_path).status == "failed", name


def test_one_precision(made):
    summary = verify_folder(made, precisions=["float64"])
    assert summary.failed == 0
    assert all(set(result.worst) == {"float64"} for result in summary.results)


def test_pattern_chooses_by_name(made):
    names = [result.name for result in verify_folder(made, pattern="linear_*").results]
    assert names == sorted(names)
    assert names
    assert all(name.startswith("linear_") for name in names)


def test_a_name_says_nothing(case, tmp_path):
    scalar.write(tmp_path / "conv_hardkrotov.npz", *case)
    assert result_of(tmp_path).status == "passed"


def test_other_files_are_left_alone(case, tmp_path):
    scalar.write(tmp_path / "a.npz", *case)
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "presets.json").write_text("{")
    assert verify_folder(tmp_path).line() == "1 passed, 0 failed"


def test_results_are_counted_apart(case, tmp_path):
    arrays, meta = case
    scalar.write(tmp_path / "a.npz", arrays, meta)
    scalar.write(tmp_path / "b.npz", arrays, meta | {"softness": "bcm"})
    summary = verify_folder(tmp_path)
    assert summary.line() == "1 passed, 0 failed, 1 not supported"
    assert summary.exit_code == 0
    (tmp_path / "c.npz").write_bytes(b"")
    summary = verify_folder(tmp_path)
    assert summary.line() == "1 passed, 1 failed, 1 not supported"
    assert summary.exit_code == 1


def test_missing_and_empty_folders_are_errors(tmp_path):
    with pytest.raises(SourceError, match="there is no folder"):
        verify_folder(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"no \*\.npz"):
        verify_folder(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(SourceError, match="none is called 'b\\*'"):
        verify_folder(tmp_path, pattern="b*")
    with pytest.raises(SourceError, match="there is no folder"):
        verify_folder(tmp_path / "a.npz")


@pytest.mark.parametrize("precisions", [["float16"], [], "float32"])
def test_unknown_precision(made, precisions):
    with pytest.raises(ConfigError, match="precision"):
        verify_folder(made, precisions=precisions)


def saved(meta=None, **arrays):
    buffer = io.BytesIO()
    if meta is not None:
        arrays["meta"] = meta
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def pickled():
    return saved(np.array("{}"), x=np.array([{"a": 1}], dtype=object))


def a_plain_array():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def no_header():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("meta.npy", b"not an array")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an .npz archive"),
        (b"just text, by mistake", "not an .npz archive"),
        (a_plain_array(), "not an .npz archive"),
        (no_header(), "meta"),
        (pickled(), "allow_pickle=False"),
        (saved(x=np.zeros(3)), "key missing: meta"),
        (saved(np.array("{"), x=np.zeros(3)), "not JSON"),
        (saved(np.array("[1]"), x=np.zeros(3)), "JSON list"),
        (saved(np.array(["{}"]), x=np.zeros(3)), "one string"),
        (saved(np.array(3), x=np.zeros(3)), "one string"),
        (saved(np.array("{}"), x=np.array(["a"])), "real numbers"),
        (saved(np.array("{}"), x=np.array([1j])), "real numbers"),
        (saved(np.array("{}"), x=np.zeros(3)), "no known kind"),
        (saved(np.array("{}")), "no known kind"),
        (
            saved(np.array("{}"), w0=np.zeros(3), w1=np.zeros(3), norms=np.zeros(3)),
            "keys missing: x, u",
        ),
    ],
)
def test_damaged_and_foreign_files_fail(tmp_path, content, said):
    (tmp_path / "bad.npz").write_bytes(content)
    result = result_of(tmp_path)
    assert result.status == "failed"
    assert said in result.reason


def test_a_truncated_file_fails(case, tmp_path):
    whole = scalar.write(tmp_path / "case.npz", *case).read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "case.npz").write_bytes(whole[: int(len(whole) * share)])
        assert result_of(tmp_path).status == "failed"


def test_any_damaged_byte_fails_or_changes_nothing(case, tmp_path):
    whole = scalar.write(tmp_path / "case.npz", *case).read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 12):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        (tmp_path / "case.npz").write_bytes(damaged)
        assert result_of(tmp_path).status in ("failed", "passed", "not supported")


@pytest.mark.parametrize("key", ["x", "w0", "u", "w20", "norms", "lr20"])
def test_a_missing_key_fails(case, tmp_path, key):
    arrays, meta = case
    scalar.write(tmp_path / "case.npz", {k: v for k, v in arrays.items() if k != key}, meta)
    result = result_of(tmp_path)
    assert result.status == "failed"
    assert f"key missing: {key}" in result.reason


@pytest.mark.parametrize(
    ("key", "shape"),
    [("x", (3, 5, 8)), ("x", (45,)), ("x", (0, 5, 9)), ("w0", (9, 7)), ("w20", (9, 7)), ("u", ())],
)
def test_a_wrong_shape_fails(case, tmp_path, key, shape):
    arrays, meta = case
    scalar.write(tmp_path / "case.npz", arrays | {key: np.ones(shape, np.float32)}, meta)
    result = result_of(tmp_path)
    assert result.status == "failed"
    assert "shape" in result.reason


def test_inputs_that_are_not_finite_fail(case, tmp_path):
    arrays, meta = case
    arrays["x"][0, 0, 0] = np.inf
    scalar.write(tmp_path / "case.npz", arrays, meta)
    assert "x holds NaN or infinite" in result_of(tmp_path).reason
