"""GGUF headers against files that ggml's own package writes, and hostile ones within bounds."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest

from workers.kit import UserError
from workers.sources.checkpoints import iter_tensors
from workers.sources.formats import gguf_file
from workers.sources.formats.gguf_file import FILE_TYPES, TYPES, GgufHeader, gguf_facts, read_gguf
from workers.sources.headers import TensorHeader, identify, parameters_by_dtype, read_headers


def test_types_and_their_sizes_are_ggmls() -> None:
    assert {kind: (name, block, size) for kind, (name, block, size) in TYPES.items()} == {
        kind.value: (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()
    }
    named = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in gguf.LlamaFileType}
    assert {number: name for number, name in named.items() if name != "GUESSED"} == FILE_TYPES


def write_model(path: Path) -> dict[str, np.ndarray]:
    """A small model with a vocabulary; returns the values that are not quantised."""
    draw = np.random.default_rng(5)
    values = {
        "token_embd.weight": draw.standard_normal((8, 64)).astype(np.float32),
        "output_norm.weight": draw.standard_normal(64).astype(np.float16),
    }
    quantised = gguf.quants.quantize(draw.standard_normal((4, 64)).astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny Llama")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_context_length(4096)
    writer.add_languages(["en", "de"])
    writer.add_token_list([f"word{place}" for place in range(1000)])
    writer.add_token_scores([0.5] * 1000)
    writer.add_bool("llama.is_test", True)
    writer.add_string("tokenizer.chat_template", "{{ x }}" * 20_000)
    for name, value in values.items():
        writer.add_tensor(name, value)
    writer.add_tensor("blk.0.attn_q.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    # 256 values to a block of 144 bytes.
    writer.add_tensor("blk.0.ffn_up.weight", np.zeros((2, 144), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q4_K)
    half = np.arange(6, dtype=np.float32).reshape(2, 3)
    bits = (half.view(np.uint32) >> 16).astype(np.uint16)
    writer.add_tensor("blk.0.half", bits.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {**values, "blk.0.half": half}


def header_of(path: Path) -> GgufHeader:
    with path.open("rb") as handle:
        return read_gguf(handle, size=path.stat().st_size, label=path.name)


def test_headers_facts_and_values_of_a_written_model(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write_model(path)
    assert identify(path) == "gguf"
    headers = read_headers([path])
    assert headers == [
        TensorHeader("token_embd.weight", (8, 64), "float32", "model.bin"),
        TensorHeader("output_norm.weight", (64,), "float16", "model.bin"),
        TensorHeader("blk.0.attn_q.weight", (4, 64), "Q8_0", "model.bin"),
        TensorHeader("blk.0.ffn_up.weight", (2, 256), "Q4_K", "model.bin"),
        TensorHeader("blk.0.half", (2, 3), "bfloat16", "model.bin"),
    ]
    assert parameters_by_dtype(headers) == {"F32": 512, "F16": 64, "Q8_0": 256, "Q4_K": 512, "BF16": 6}
    peer = gguf.GGUFReader(path)
    assert [(tensor.name, tensor.data_offset, tensor.n_bytes) for tensor in peer.tensors] == [
        (tensor.name, tensor.begin, tensor.end - tensor.begin) for tensor in header_of(path).tensors
    ]
    metadata = header_of(path).metadata
    facts = gguf_facts(metadata)
    assert (facts.architecture, facts.name, facts.licence) == ("llama", "Tiny Llama", "apache-2.0")
    assert (facts.quantisation, facts.context_length) == ("Q4_K_M", 4096)
    assert metadata["general.languages"] == ["en", "de"]
    assert metadata["llama.is_test"] is True
    assert not {"tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.chat_template"} & set(metadata)


@pytest.mark.parametrize("order", list(gguf.GGUFEndian))
def test_values_are_read_in_both_byte_orders(order: gguf.GGUFEndian, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    if order is gguf.GGUFEndian.LITTLE:
        expected = write_model(path)
    else:
        expected = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "v": np.arange(4, dtype=np.float16)}
        writer = gguf.GGUFWriter(path, "llama", endianess=order)  # codespell:ignore endianess
        for name, value in expected.items():
            writer.add_tensor(name, value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    assert header_of(path).is_little is (order is gguf.GGUFEndian.LITTLE)
    stored = {tensor.name: tensor for tensor in gguf_file.stored_tensors(path, companions={})}
    for name, value in expected.items():
        read = stored[name].read()
        assert read.shape == value.shape
        np.testing.assert_array_equal(read.astype(np.float32), value.astype(np.float32))


def test_quantised_values_are_said_to_be_quantised(tmp_path: Path) -> None:
    write_model(tmp_path / "model.gguf")
    with pytest.raises(UserError, match=r"blk\.0\.attn_q\.weight is quantised \(Q8_0\), so its values cannot be read"):
        list(iter_tensors([tmp_path / "model.gguf"]))


def test_version_2_is_read_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_model(path)
    data = path.read_bytes()
    path.write_bytes(data[:4] + struct.pack("<I", 2) + data[8:])
    assert len(read_headers([path])) == 5
    for version in (0, 1, 4):
        path.write_bytes(data[:4] + struct.pack("<I", version) + data[8:])
        with pytest.raises(UserError, match="versions 2 and 3 can be read"):
            read_headers([path])


def test_every_cut_off_file_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_model(path)
    data = path.read_bytes()
    for length in (4, 5, 12, 30, 60, 200, 5_000, 30_000, len(data) // 2, len(data) - 1000):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"^model\.gguf"):
            read_headers([path])


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def tensor(name: str = "w", dims: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def head(tensors: int, keys: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys)


DATA = bytes(4096)
HOSTILE = {
    "tensors": (head(2**60, 0), "states 1,152,921,504,606,846,976 tensors"),
    "keys": (head(1, 2**63), "keys; more than"),
    "name": (head(0, 1) + struct.pack("<Q", 2**62), "states a text of 4,611,686,018,427,387,904 bytes"),
    "text": (head(0, 1) + text("a") + struct.pack("<IQ", 8, 2**40), "states a text of"),
    "text beyond the end": (head(0, 1) + text("a") + struct.pack("<IQ", 8, 2**20), "ends before its tensors do"),
    "list": (head(0, 1) + text("a") + struct.pack("<IIQ", 9, 0, 2**50), "has lists of more than"),
    "list beyond the end": (head(0, 1) + text("a") + struct.pack("<IIQ", 9, 10, 3_000_000), "ends before its tensors"),
    "nested": (head(0, 1) + text("a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 100, "has lists of more"),
    "wide nest": (head(0, 1) + text("a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 2**21) * 3, "lists of more"),
    "value type": (head(0, 1) + text("a") + struct.pack("<I", 13), "has a value of the unknown type 13"),
    "key twice": (head(0, 2) + (text("a") + struct.pack("<IB", 0, 1)) * 2, "has the key a twice"),
    "dimensions": (head(1, 0) + tensor(dims=(1,) * 5) + DATA, "has the tensor w of 5 dimensions"),
    "many dimensions": (head(1, 0) + text("w") + struct.pack("<I", 2**32 - 1), "of 4,294,967,295 dimensions"),
    "size": (head(1, 0) + tensor(dims=(2**60,)) + DATA, "w states an impossible shape"),
    "product": (head(1, 0) + tensor(dims=(2**40,) * 4) + DATA, "ends before its tensors do"),
    "tensor type": (head(1, 0) + tensor(kind=999) + DATA, "has the tensor w of the unknown type 999"),
    "removed type": (head(1, 0) + tensor(kind=4) + DATA, "has the tensor w of the unknown type 4"),
    "block": (head(1, 0) + tensor(dims=(100,), kind=12) + DATA, "rows are no whole blocks of Q4_K"),
    "no row": (head(1, 0) + tensor(dims=(), kind=12) + DATA, "rows are no whole blocks of Q4_K"),
    "offset": (head(1, 0) + tensor(offset=2**50) + DATA, "ends before its tensors do"),
    "overlap": (head(2, 0) + tensor("a") + tensor("b", offset=16) + DATA, "b whose bytes overlap those of another"),
    "alignment": (
        head(1, 1) + text("general.alignment") + struct.pack("<II", 4, 0) + tensor() + DATA,
        "states an alignment that is no power of two",
    ),
    "alignment of text": (
        head(1, 1) + text("general.alignment") + struct.pack("<I", 8) + text("32") + tensor() + DATA,
        "states an alignment that is no power of two",
    ),
    "tensor twice": (head(2, 0) + tensor() + tensor(offset=32) + DATA, "the tensor w is there twice"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_a_sentence_in_no_time(name: str, tmp_path: Path) -> None:
    data, sentence = HOSTILE[name]
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(UserError, match=r"^m\.gguf") as caught:
        read_headers([path])
    assert sentence in caught.value.message
    assert time.perf_counter() - started < 20  # it would be hours


def test_changed_bytes_never_raise_anything_but_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_model(path)
    data = path.read_bytes()
    chance = np.random.default_rng(11)
    messages = []
    for _ in range(300):
        changed = bytearray(data)
        for place in chance.integers(0, 700, size=3):
            changed[place] = chance.integers(0, 256)
        path.write_bytes(changed)
        try:
            read_headers([path])
        except UserError as error:
            messages.append(error.message)
    assert len(messages) > 50
    assert all("m.gguf" in message for message in messages)


def test_facts_of_strange_metadata_are_empty_and_on_one_line() -> None:
    facts = gguf_facts(
        {"general.architecture": ["x"], "general.name": "a\nb\x1b[31m" + "x" * 999, "general.file_type": "1"}
    )
    assert (facts.architecture, facts.licence, facts.quantisation, facts.context_length) == ("", "", "", None)
    assert facts.name.startswith("ab[31mx")
    assert len(facts.name) == 200


def test_shards_and_a_vocabulary_of_a_quarter_million_words(tmp_path: Path) -> None:
    path = tmp_path / "model-00001-of-00001.gguf"
    writer = gguf.GGUFWriter(path, "gemma2")
    writer.add_token_list([f"w{place}" for place in range(256_000)])
    writer.add_token_merges([f"a{place} b" for place in range(256_000)])
    writer.add_tensor("w", np.ones(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    started = time.perf_counter()
    assert [header.name for header in read_headers([path])] == ["w"]
    assert time.perf_counter() - started < 30
