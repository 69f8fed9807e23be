"""How to load a model, as Python by its library. Names are strangers' texts: they appear as quoted literals only.

No snippet asks a library to run code of a repository; the commit is pinned wherever it is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubapp.catalog.described import code_files, mapping_of, record_of, siblings_of
from hubapp.catalog.models import File, Model, Revision
from workers.kit import LOADERS

_AUTO_CLASS = re.compile(r"AutoModel\w{0,60}")
_PROCESSORS = {"AutoTokenizer", "AutoProcessor", "AutoFeatureExtractor", "AutoImageProcessor"}
_MOST_CODE_FILES = 3


@dataclass(frozen=True, kw_only=True)
class Loading:
    """A snippet and what to know before running it. `code` is empty where nothing is known to load."""

    title: str
    code: str
    notes: tuple[str, ...] = ()


def quoted(value: str) -> str:
    """A text as a Python literal in ASCII: what it holds can neither end the literal nor look like something else."""
    literal = ascii(value)
    return literal if set('"\\') & set(literal[1:-1]) or literal[0] == '"' else f'"{literal[1:-1]}"'


def loading(model: Model, revision: Revision | None, files: Sequence[File], *, base: str = "") -> Loading:
    """How to load a model: its files here where they lie here, else its repository by its library.

    base  the model that an adapter was made for; "" where it is not known
    """
    if revision is not None and revision.is_local:
        if revision.error_message:
            return Loading(title="", code="")
        return Loading(title="in Hubscope", code=local_snippet(model, revision))
    record = record_of(model)
    if not record and not model.sha and revision is None:
        return Loading(title="", code="")
    paths = [file.path for file in files] or [one.path for one in siblings_of(record)]
    repository = _Repository(model=model, sha=_commit(model, revision), paths=paths, record=record, base=base)
    title, code = _snippet(repository)
    return Loading(title=title, code=code, notes=tuple(_notes(repository)))


def _commit(model: Model, revision: Revision | None) -> str:
    return (revision.commit if revision is not None else "") or model.sha


@dataclass(frozen=True, kw_only=True)
class _Repository:
    """What the snippets are made of."""

    model: Model
    sha: str
    paths: Sequence[str]
    record: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""

    @property
    def name(self) -> str:
        return quoted(self.model.slug)

    @property
    def revision(self) -> str:
        """The argument that pins the commit; "" where it is not known."""
        return f", revision={quoted(self.sha)}" if self.sha else ""

    @property
    def safetensors(self) -> str:
        """The argument that keeps a library from pickles; "" where there is nothing but pickles."""
        return ", use_safetensors=True" if self.ending(".safetensors") else ""

    @property
    def is_adapter(self) -> bool:
        return self.model.relation == "adapter" or "adapter_config.json" in self.paths

    def ending(self, suffix: str) -> list[str]:
        """The files of a kind."""
        return [path for path in self.paths if path.lower().endswith(suffix)]


def _snippet(own: _Repository) -> tuple[str, str]:
    library = own.model.library.lower()
    if library in {"llama.cpp", "gguf"} or (own.ending(".gguf") and not own.ending(".safetensors")):
        return "with llama.cpp", _gguf(own)
    if library == "diffusers":
        return "with diffusers", _diffusers(own)
    if library == "peft" or (own.is_adapter and library in {"", "transformers"}):
        return "with PEFT, on its base", _peft(own)
    if library == "sentence-transformers":
        return "with sentence-transformers", (
            "from sentence_transformers import SentenceTransformer\n\n"
            f"model = SentenceTransformer({own.name}{own.revision})\n"
            'vectors = model.encode(["a sentence", "another one"])'
        )
    if library == "timm":
        pinned = f"hf-hub:{own.model.slug}{f'@{own.sha}' if own.sha else ''}"
        return "with timm", f"import timm\n\nmodel = timm.create_model({quoted(pinned)}, pretrained=True).eval()"
    if library == "transformers":
        return "with transformers", _transformers(own)
    if own.ending(".onnx"):
        return "with ONNX Runtime", _one_file(own, own.ending(".onnx")[0], _ONNX)
    if own.ending(".safetensors"):
        return "as tensors", _one_file(own, own.ending(".safetensors")[0], _TENSORS)
    return "as files", (
        "from huggingface_hub import snapshot_download\n\n"
        f"folder = snapshot_download({own.name}{own.revision})  # look before you load: files may run code"
    )


def _transformers(own: _Repository) -> str:
    stated = mapping_of(own.record.get("transformersInfo"))
    auto = stated.get("auto_model")
    auto = auto if isinstance(auto, str) and _AUTO_CLASS.fullmatch(auto) else "AutoModel"
    processor = stated.get("processor")
    lines = [f"name, revision = {own.name}, {quoted(own.sha)}" if own.sha else f"name = {own.name}"]
    pinned = ", revision=revision" if own.sha else ""
    if isinstance(processor, str) and processor in _PROCESSORS:
        lines.insert(0, f"from transformers import {auto}, {processor}\n")
        lines.append(f"processor = {processor}.from_pretrained(name{pinned})")
    else:
        lines.insert(0, f"from transformers import {auto}\n")
    lines.append(f"model = {auto}.from_pretrained(name{pinned}{own.safetensors})")
    return "\n".join(lines)


def _peft(own: _Repository) -> str:
    lines = ["from peft import PeftModel", "from transformers import AutoModelForCausalLM  # or the base's own class\n"]
    if own.base:
        lines.append(f"base = AutoModelForCausalLM.from_pretrained({quoted(own.base)})")
    else:
        lines.append("base = ...  # the model that it was made for, which its record does not name")
    return "\n".join([*lines, f"model = PeftModel.from_pretrained(base, {own.name}{own.revision})"])


def _diffusers(own: _Repository) -> str:
    head = "from diffusers import DiffusionPipeline\n\n"
    if own.is_adapter and own.base:
        return (
            f"{head}pipeline = DiffusionPipeline.from_pretrained({quoted(own.base)})\n"
            f"pipeline.load_lora_weights({own.name}{own.revision})"
        )
    return f"{head}pipeline = DiffusionPipeline.from_pretrained({own.name}{own.revision}{own.safetensors})"


def _gguf(own: _Repository) -> str:
    files = own.ending(".gguf")
    chosen = next((path for path in files if "q4_k_m" in path.lower()), files[0] if files else "")
    if not chosen:
        return f"from huggingface_hub import snapshot_download\n\nfolder = snapshot_download({own.name}{own.revision})"
    return _one_file(own, chosen, _LLAMA)


_ONNX = (
    "import onnxruntime",
    "session = onnxruntime.InferenceSession(path)\nprint([one.name for one in session.get_inputs()])",
)
_TENSORS = "from safetensors.numpy import load_file", "tensors = load_file(path)"
_LLAMA = "from llama_cpp import Llama", "model = Llama(model_path=path)"


def _one_file(own: _Repository, path: str, lines: tuple[str, str]) -> str:
    imported, opened = lines
    imports = sorted(["from huggingface_hub import hf_hub_download", imported], key=lambda line: line.split()[1])
    return "\n".join([*imports, "", f"path = hf_hub_download({own.name}, {quoted(path)}{own.revision})", opened])


def _notes(own: _Repository) -> list[str]:
    notes = []
    if own.model.gated:
        notes.append(
            "Its files are given only to those whom the author lets in: ask on its page at the hub, then sign in "
            "with hf auth login."
        )
    code = code_files(own.record, list(own.paths))
    if code:
        named = ", ".join(code[:_MOST_CODE_FILES]) + (f" and {len(code) - _MOST_CODE_FILES} more" * (len(code) > 3))
        notes.append(
            f"The repository brings code of its own ({named}). Hubscope runs none of it and no snippet here asks a "
            "library to; what needs it may not load this way. Read the code before you run it."
        )
    if not own.sha:
        notes.append("The commit is not known here, so the newest one would be loaded.")
    if own.paths and not own.ending(".safetensors") and own.ending(".bin") + own.ending(".pt") + own.ending(".pth"):
        notes.append("Its weights are Python pickles, which can run code when they are loaded.")
    return notes


def local_snippet(model: Model, revision: Revision) -> str:
    """Python that opens this very revision here: with its loader where it has one, else its tensors one at a time."""
    get = f"revision = Revision.objects.get(model__slug={quoted(model.slug)},\n    digest={quoted(revision.digest)})\n"
    if revision.loader not in LOADERS:
        return (
            "# in `python manage.py shell`\n"
            "from pathlib import Path\n"
            "from hubapp.catalog.models import Revision\n"
            "from hubapp.catalog.selectors import model_ref\n"
            "from workers.sources.checkpoints import iter_tensors\n\n"
            f"{get}"
            "for header, array in iter_tensors([Path(file) for file in model_ref(revision).files]):\n"
            "    print(header.name, array.shape, array.dtype)"
        )
    examples = {
        "image": (
            "import numpy as np",
            "np.zeros((1, 28, 28), dtype=np.uint8)  # grey images, or (n, h, w, 3) for RGB",
            ", image_size=112",
        ),
        "text": ("", '["a sentence", "another one"]', ""),
        "series": ("import numpy as np", "np.random.rand(1, 1, 150).astype(np.float32)  # (n, channels, length)", ""),
    }
    imports, items, options = examples.get(model.modality, ("", "...", ""))
    return (
        "# in `python manage.py shell`\n"
        "from hubapp.catalog.models import Revision\n"
        "from hubapp.catalog.selectors import model_ref\n"
        f"from workers.kit import LOADERS\n{imports + chr(10) if imports else ''}\n{get}"
        f'encoder = LOADERS.get("{revision.loader}").load()(model_ref(revision), device="cpu")\n'
        f"items = {items}\n"
        f"features = encoder.encode(items{options})  # (n, dimensions) float32"
    )
