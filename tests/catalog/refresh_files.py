"""Repositories for tests of refreshing: real weight files, a card with front matter and attacks, results."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path

import gguf
import numpy as np
import onnx
import torch
from safetensors.numpy import save

CARD = """---
license: apache-2.0
language: [en, de]
datasets: [ada/leaves]
pipeline_tag: image-classification
library_name: timm
base_model: bob/parent
---
# Leaf net

[![badge](https://img.example/badge.svg)](https://ci.example) <script>alert("ran")</script>

Leaf net tells one hundred kinds of trees apart by a photo of a single leaf. It was trained on one GPU.

## Intended uses

For gardeners who want to know which tree stands before them; not for medicine or food safety.

## How to use

```python
import timm
model = timm.create_model("hf-hub:ada/leaf", pretrained=True)
```

<img src=x onerror="alert(1)"> [click](javascript:alert(1))

See [Deep Residual Learning for Leaves](https://arxiv.org/abs/1512.03385v1) and [the paper](https://arxiv.org/abs/2010.11929).

```bibtex
@misc{dosovitskiy2020,
  title={An Image is Worth 16x16 {Leaves}: Transformers for Trees},
  eprint={2010.11929},
  archivePrefix={arXiv}
}
```
"""
RESULTS = b"""# measured on the held-out leaves
- dataset:
    id: ada/leaves
    task_id: default
  value: 91.5
  date: "2025-01-02"
- dataset: {id: ada/flowers, task_id: default}
  value: 12
"""


def tensors(seed: int = 0, *, width: int = 256) -> dict[str, np.ndarray]:
    """A convolution of width · 256 · 9 values and its batch norm."""
    draw = np.random.default_rng(seed)
    return {
        "conv.weight": draw.standard_normal((width, 256, 3, 3)).astype(np.float32),
        "bn.weight": np.ones(width, np.float32),
        "bn.running_mean": np.zeros(width, np.float32),
        "bn.num_batches_tracked": np.zeros((), np.int64),
    }


def torch_file(seed: int = 0, *, is_zip: bool = True) -> bytes:
    """A `torch.save` file of about 2.4 MB, zip or of the old form."""
    state = OrderedDict((name, torch.from_numpy(array)) for name, array in tensors(seed).items())
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def gguf_file(folder: Path) -> bytes:
    """A GGUF file with a tensor of 1 MB."""
    path = folder / "written.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny Llama")
    writer.add_tensor("token_embd.weight", np.zeros((512, 512), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def onnx_files(folder: Path) -> dict[str, bytes]:
    """An ONNX model of one 256 KB initializer, which lies in a file of its own."""
    value = onnx.numpy_helper.from_array(np.ones((256, 256), np.float32), "weight")
    result = onnx.helper.make_tensor_value_info("weight", onnx.TensorProto.FLOAT, [256, 256])
    graph = onnx.helper.make_graph([], "leaf", [], [result], initializer=[value])
    path = folder / "model.onnx"
    onnx.save_model(
        onnx.helper.make_model(graph), path, save_as_external_data=True, location="model.onnx_data", size_threshold=100
    )
    return {name: (folder / name).read_bytes() for name in ("model.onnx", "model.onnx_data")}


class _Command:
    """What pickle turns into a call of os.system."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch /tmp/hubscope-was-here",)


def flagged_file() -> bytes:
    """A `torch.save` file that would run a command when loaded the usual way."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3), "extra": _Command()}, buffer)
    return buffer.getvalue()


def leaf_files(seed: int = 0) -> dict[str, bytes]:
    """The repository of a small image model: 2.4 MB of weights in two formats."""
    return {
        "README.md": CARD.encode(),
        "config.json": b'{"architectures": ["LeafNet"]}',
        "model.safetensors": save(tensors(seed)),
        "pytorch_model.bin": torch_file(seed),
        ".eval_results/leaves.yaml": RESULTS,
    }
