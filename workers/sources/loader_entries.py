"""The ways to open a model. Free of torch: a target is imported when it is first used."""

from __future__ import annotations

from workers.kit import LOADERS, LoaderEntry

LOADERS.add(
    LoaderEntry(
        name="torchvision",
        title="torchvision",
        meaning="Image classifiers of torchvision: MobileNetV2 and SqueezeNet 1.1.",
        target="workers.sources.encoders.torchvision_models:open_encoder",
        modality="image",
    )
)
LOADERS.add(
    LoaderEntry(
        name="efficientnet_lite",
        title="EfficientNet-Lite",
        meaning="EfficientNet-Lite image classifiers (Lite0, Lite1) with TensorFlow's padding.",
        target="workers.sources.encoders.efficientnet_lite:open_encoder",
        modality="image",
        paper="Tan and Le, ICML 2019, arXiv:1905.11946",
    )
)
LOADERS.add(
    LoaderEntry(
        name="usem3",
        title="Universal Sentence Encoder",
        meaning="The multilingual Universal Sentence Encoder v3: one 512-dimensional vector per text, numpy only.",
        target="workers.sources.encoders.usem3:open_encoder",
        modality="text",
        paper="Yang et al., ACL 2020 (demonstrations), arXiv:1907.04307",
    )
)
LOADERS.add(
    LoaderEntry(
        name="fracast",
        title="Fracast",
        meaning="A small time-series forecaster; its hidden states are summed up by mean and spread over time.",
        target="workers.sources.encoders.fracast:open_encoder",
        modality="series",
    )
)
LOADERS.add(
    LoaderEntry(
        name="identity",
        title="The inputs themselves",
        meaning="No model: a table's columns, or an image's pixels in a coarse grid, as the baseline to beat.",
        target="workers.sources.encoders.identity:open_encoder",
        needs_weights=False,
    )
)
LOADERS.add(
    LoaderEntry(
        name="transformers",
        title="Transformers",
        meaning="Models of the library transformers by config.json: images, texts, recordings, and CLIP-like pairs.",
        target="workers.sources.encoders.transformers_models:open_encoder",
    )
)
LOADERS.add(
    LoaderEntry(
        name="sentence_transformers",
        title="Sentence Transformers",
        meaning="Sentence encoders by modules.json: a Transformer, its pooling, dense layers and normalisation.",
        target="workers.sources.encoders.sentence_transformers_models:open_encoder",
        modality="text",
        paper="Reimers and Gurevych, EMNLP 2019, arXiv:1908.10084",
    )
)
LOADERS.add(
    LoaderEntry(
        name="timm",
        title="timm",
        meaning="Image models of the library timm by the architecture and preprocessing that config.json names.",
        target="workers.sources.encoders.timm_models:open_encoder",
        modality="image",
    )
)
LOADERS.add(
    LoaderEntry(
        name="torchvision_zoo",
        title="torchvision, any classifier",
        meaning="Image classifiers of torchvision by the builder's name, prepared as its released weights.",
        target="workers.sources.encoders.torchvision_zoo:open_encoder",
        modality="image",
    )
)
LOADERS.add(
    LoaderEntry(
        name="onnx",
        title="ONNX",
        meaning="Networks in an ONNX file by ONNX Runtime: images, recordings or series, as the configuration says.",
        target="workers.sources.encoders.onnx_models:open_encoder",
    )
)
