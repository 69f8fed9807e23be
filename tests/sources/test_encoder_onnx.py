from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.sources.shipped import BASIC_PITCH, shipped
from tests.sources.tiny_models import IMAGES, TEXTS, close, opened
from workers.kit import ModelRef, UserError
from workers.sources.protocols import Reading

TURNED = shipped("rapidocr-onnxruntime", "ch_ppocr_mobile_v2.0_cls_infer.onnx")
RECOGNITION = shipped("rapidocr-onnxruntime", "ch_PP-OCRv4_rec_infer.onnx")
OCR = {"mean": [0.5] * 3, "std": [0.5] * 3, "channel_order": "BGR", "input_size": [48, 192]}
LINES = np.random.default_rng(0).integers(0, 256, (3, 48, 192, 3), dtype=np.uint8)
PLAIN = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}


def onnx_ref(file: Path, **changes: Any) -> ModelRef:
    return ModelRef(**({"name": "net", "revision": "0", "files": (str(file),), "loader": "onnx"} | changes))


def results(file: Path, given: np.ndarray, *names: str) -> list[np.ndarray]:
    """Tensors inside of a file, by onnxruntime on a copy with those outputs."""
    model = onnx.load(str(file))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(list(names), {session.get_inputs()[0].name: given})
    return found


def bgr(images: np.ndarray) -> np.ndarray:
    return ((images[..., ::-1].astype(np.float32) / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2)


def test_the_real_text_line_classifier() -> None:
    read, scores, last, inner = results(
        TURNED, bgr(LINES), "reshape2_0.tmp_0", "linear_1.tmp_1", "save_infer_model/scale_0.tmp_1", "pool2d_10.tmp_0"
    )
    model = onnx_ref(TURNED, config={**OCR, "source_classes": ["upright", "turned"]})
    encoder = opened(model)
    found = encoder.encode(LINES)
    close(found.features, read)
    close(found.logits, scores)
    assert found.logits is not None
    softmax = np.exp(found.logits) / np.exp(found.logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, last, atol=1e-5)
    assert encoder.source_classes == ("upright", "turned")
    assert encoder.shape(LINES) == ((200,), 2)
    close(encoder.encode(LINES[::-1]).features, read[::-1])
    assert "pool2d_10.tmp_0" in encoder.layers
    close(opened(model, reading=Reading(layer="pool2d_10.tmp_0")).encode(LINES).features, inner.mean(axis=(2, 3)))
    facts = encoder.describe()
    assert "scaled to 48 × 192" in facts["preprocessing"]
    assert "reshape2_0.tmp_0" in facts["layer"]


def test_the_real_text_recogniser_has_a_vector_for_each_position() -> None:
    (read,) = results(RECOGNITION, bgr(LINES), "transpose_51.tmp_0")
    model = onnx_ref(RECOGNITION, config=OCR)
    found = opened(model).encode(LINES)
    close(found.features, read.mean(axis=1))
    assert found.logits is None, "its logits are one row for each position"
    close(opened(model, reading=Reading(pooling="tokens")).encode(LINES).features, read)


def test_the_real_transcriber_hears_at_its_rate() -> None:
    rng = np.random.default_rng(0)
    sounds = [rng.normal(0, 0.1, length).astype(np.float32) for length in (43_844, 20_000, 60_000)]
    given = np.zeros((3, 43_844, 1), dtype=np.float32)
    for row, one in enumerate(sounds):
        given[row, : min(len(one), 43_844), 0] = one[:43_844]
    (read,) = results(BASIC_PITCH, given, "model_1/concat/concat;model_1/concat/concat")
    model = onnx_ref(BASIC_PITCH, modality="audio", config={"rate": 22_050})
    encoder: Any = opened(model)
    encoder.rate = 22_050
    close(encoder.encode(sounds).features, read.mean(axis=(2, 3)))
    encoder.rate = 44_100
    assert not np.allclose(encoder.encode(sounds).features, read.mean(axis=(2, 3)))
    with pytest.raises(UserError, match="at what rate it hears"):
        opened(onnx_ref(BASIC_PITCH, modality="audio"))
    with pytest.raises(UserError, match="hears recordings"):
        encoder.encode(TEXTS)


def network(path: Path, *, shape: list[Any], change: Callable[[Any], None] = lambda model: None) -> Path:
    """Convolution, pooling, Gemm and Softmax over images; NHWC where the last dimension is 3."""
    rng = np.random.default_rng(0)
    kernel, weight, bias = rng.normal(size=(4, 3, 3, 3)), rng.normal(size=(4, 5)), rng.normal(size=5)
    tensors = {"k": kernel, "w": weight, "b": bias}
    first = ["x"]
    nodes = []
    if shape[-1] == 3:
        nodes.append(helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
        first = ["t"]
    nodes += [
        helper.make_node("Conv", [*first, "k"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 5])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("shape", [[None, 3, 40, 40], [2, 3, None, None], [None, 40, 40, 3]])
def test_layouts_and_fixed_batches(shape: list[Any], tmp_path: Path) -> None:
    file = network(tmp_path / "net.onnx", shape=shape)
    x = (IMAGES.astype(np.float32) / 255 - np.array(PLAIN["mean"], dtype=np.float32)) / np.array(
        PLAIN["std"], dtype=np.float32
    )
    open_graph = network(tmp_path / "open.onnx", shape=[None, 3, None, None])
    read, logits = results(open_graph, x.transpose(0, 3, 1, 2), "f", "l")
    encoder = opened(onnx_ref(file, config={**PLAIN, "input_size": 40}))
    found = encoder.encode(IMAGES)
    close(found.features, read)
    close(found.logits, logits)
    mixed = [IMAGES[0], IMAGES[1][:20], IMAGES[2][:, :30, 0]]
    for one, row in zip(mixed, encoder.encode(mixed).features, strict=True):
        close(encoder.encode([one]).features[0], row)


def test_what_the_configuration_must_say(tmp_path: Path) -> None:
    file = network(tmp_path / "net.onnx", shape=[None, 3, None, None])
    loose = network(tmp_path / "loose.onnx", shape=[None, None, None, None])
    for model, match in (
        (onnx_ref(file), "needs 'mean'"),
        (onnx_ref(loose, config={**PLAIN, "input_size": 40}), "where its three colours stand"),
        (onnx_ref(file, config={**PLAIN, "input_size": [1, 2, 3]}), "height and width"),
        (onnx_ref(file, config={**PLAIN, "output": "z"}), "has no output 'z'"),
        (onnx_ref(file, modality="text", config=PLAIN), "not how text"),
        (onnx_ref(file, modality="audio", config=PLAIN), "not how audio"),
    ):
        with pytest.raises(UserError, match=match):
            opened(model)
    with pytest.raises(UserError, match="takes images of any size"):
        opened(onnx_ref(file, config=PLAIN)).encode(IMAGES)
    assert opened(onnx_ref(file, config=PLAIN)).encode(IMAGES, image_size=24).features.shape == (5, 4)
    with pytest.raises(UserError, match="precision that it was exported"):
        opened(onnx_ref(file, config=PLAIN), reading=Reading(precision="float16"))
    with pytest.raises(UserError, match="has no tensor 'q'"):
        opened(onnx_ref(file, config=PLAIN), reading=Reading(layer="q"))


def _elsewhere(location: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return change


def _custom(model: Any) -> None:
    model.graph.node[-1].domain = "evil.ops"
    model.opset_import.append(helper.make_opsetid("evil.ops", 1))


def _no_product(model: Any) -> None:
    del model.graph.node[-2:]
    model.graph.output[0].name = "x"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_elsewhere("../weights.bin"), "outside of its folder"),
        (_elsewhere("/etc/passwd"), "outside of its folder"),
        (_elsewhere("link.bin"), "outside of its folder"),
        (_elsewhere("gone.bin"), "is not there"),
        (_custom, "which ONNX Runtime does not"),
        (_no_product, "no product with stored weights"),
        (lambda model: model.graph.input.append(helper.make_tensor_value_info("z", 1, [1])), "has 2 inputs"),
        (lambda model: model.graph.node[0].input.append("nowhere"), "ONNX Runtime cannot open"),
    ],
)
def test_hostile_graphs_are_refused(change: Callable[[Any], None], match: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(1000))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    file = network(folder / "net.onnx", shape=[None, 3, 40, 40], change=change)
    with pytest.raises(UserError, match=match):
        opened(onnx_ref(file, config=PLAIN))


def test_a_damaged_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    file = network(tmp_path / "net.onnx", shape=[None, 3, 40, 40])
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UserError, match="is damaged"):
        opened(onnx_ref(file, config=PLAIN))


def test_external_data_beside_the_file_is_read(tmp_path: Path) -> None:
    whole = network(tmp_path / "whole.onnx", shape=[None, 3, 40, 40])
    parted = tmp_path / "parted.onnx"
    onnx.save_model(
        onnx.load(str(whole)), str(parted), save_as_external_data=True, location="parted.bin", size_threshold=0
    )
    close(
        opened(onnx_ref(parted, config=PLAIN)).encode(IMAGES).features,
        opened(onnx_ref(whole, config=PLAIN)).encode(IMAGES).features,
    )


def test_tables_and_series_go_in_as_they_are(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        del model.graph.node[:4]
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("f", TensorProto.FLOAT, [None, 4]))
        del model.graph.initializer[0]

    file = network(tmp_path / "net.onnx", shape=[None, 3, 40, 40], change=change)
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    encoder = opened(onnx_ref(file, modality="table"))
    found = encoder.encode(rows)
    np.testing.assert_array_equal(found.features, rows)
    close(found.logits, results(file, rows, "l")[0])
    with pytest.raises(UserError, match=r"reads arrays of \(4,\)"):
        encoder.encode(rows[:, :3])
    rows[0, 0] = np.nan
    with pytest.raises(UserError, match="missing values"):
        encoder.encode(rows)
