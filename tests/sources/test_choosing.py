"""Of a repository's file list the weights are one complete set."""

from __future__ import annotations

import pytest

from workers.sources.choosing import weights_of_repository

SHARDS = [f"model-0000{place}-of-00002.safetensors" for place in (1, 2)]
BIN_SHARDS = [f"pytorch_model-0000{place}-of-00002.bin" for place in (1, 2)]

REPOSITORIES = {
    "several formats": (
        ["model.safetensors", "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "config.json"],
        ["model.safetensors"],
    ),
    "shards with their index": (
        [*SHARDS, "model.safetensors.index.json", *BIN_SHARDS, "pytorch_model.bin.index.json", "consolidated.pth"],
        [*SHARDS, "model.safetensors.index.json"],
    ),
    "shards of PyTorch": (
        [*BIN_SHARDS, "pytorch_model.bin.index.json", "training_args.bin", "optimizer.pt"],
        [*BIN_SHARDS, "pytorch_model.bin.index.json"],
    ),
    "pipeline": (
        [
            "model_index.json", "v1-5-pruned.safetensors", "v1-5-pruned.ckpt", "text_encoder/model.safetensors",
            "text_encoder/model.fp16.safetensors", "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.bin",
        ],
        ["text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"],
    ),
    "variants": (["net.fp16.safetensors", "net.safetensors", "v1.5.bin"], ["net.safetensors"]),
    "dots in names": (["v1.5.safetensors", "v2.safetensors"], ["v1.5.safetensors", "v2.safetensors"]),
    "quantisations": (
        ["m.Q8_0.gguf", "m.Q4_K_M.gguf", "mmproj-model.gguf", "README.md"],
        ["m.Q4_K_M.gguf"],
    ),
    "shards of a quantisation": (
        ["Q8/m-Q8-00001-of-00002.gguf", "Q8/m-Q8-00002-of-00002.gguf", "m-Q9-00001-of-00001.gguf"],
        ["m-Q9-00001-of-00001.gguf"],
    ),
    "only onnx": (
        ["onnx/model_quantized.onnx", "onnx/model_quantized.onnx_data", "onnx/model.onnx", "onnx/model.onnx_data"],
        ["onnx/model.onnx", "onnx/model.onnx_data"],
    ),
    "single file and shards": ([*SHARDS, "model.safetensors", "adapter_model.safetensors"], ["model.safetensors"]),
    "pipeline with its single file": (["model.ckpt", "unet/pytorch_model.bin"], ["unet/pytorch_model.bin"]),
    "agents": (["policy.pth", "actor.optimizer.pth", "scaler.pkl"], ["policy.pth"]),
    "steps": (["checkpoint-500/model.safetensors", "model.safetensors"], ["model.safetensors"]),
    "only steps": (["checkpoint-500/model.safetensors"], ["checkpoint-500/model.safetensors"]),
    "other names beside plain ones": (["consolidated.safetensors", "model.safetensors"], ["model.safetensors"]),
    "parts": (["encoder.pt", "decoder.pt"], ["decoder.pt", "encoder.pt"]),
    "hidden": ([".cache/model.safetensors", "last.ckpt"], ["last.ckpt"]),
    "nothing": (["README.md", "config.json", "tokenizer.bin"], []),
    "empty": ([], []),
}  # fmt: skip


@pytest.mark.parametrize("name", REPOSITORIES)
def test_one_set_of_weights_is_taken(name: str) -> None:
    listed, expected = REPOSITORIES[name]
    assert weights_of_repository(listed) == expected
    assert weights_of_repository(reversed(listed)) == expected
