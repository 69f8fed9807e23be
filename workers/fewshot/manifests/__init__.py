"""Manifests: which rows every few-shot run of a data set sees; stored, shared, imported, compared by digest."""

from __future__ import annotations

from workers.fewshot.manifests.drawing import NESTED_UP_TO as NESTED_UP_TO
from workers.fewshot.manifests.drawing import manifest_of as manifest_of
from workers.fewshot.manifests.exchange import import_manifest as import_manifest
from workers.fewshot.manifests.exchange import manifest_from_json as manifest_from_json
from workers.fewshot.manifests.form import Manifest as Manifest
from workers.fewshot.manifests.form import ManifestDraw as ManifestDraw
from workers.fewshot.manifests.form import ManifestTask as ManifestTask
from workers.fewshot.manifests.form import PlacedDraw as PlacedDraw
from workers.fewshot.manifests.form import PlacedManifest as PlacedManifest
