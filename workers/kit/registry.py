"""One registry for everything that can be added: analyses, metrics, heads, model loaders, data set sources.

An Entry says what a thing is without importing it; the target is loaded by name when it is first used. Listing a
registry therefore costs no heavy import, and the web process can show every entry without torch.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from workers.kit.errors import UserError
from workers.kit.refs import DatasetRef, ModelRef


class Spec(BaseModel):
    """Base of the validated parameters of an entry; unknown names are refused, values are frozen.

    model_fields_of  the fields whose values name further models, as a text or a tuple of texts: "name", or
                     "name@revision" once the job is submitted; empty texts name none
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model_fields_of: ClassVar[tuple[str, ...]] = ()

    def model_names(self) -> tuple[str, ...]:
        """The names of the further models, each once, in order."""
        values = [getattr(self, name) for name in self.model_fields_of]
        names = [one for value in values for one in ((value,) if isinstance(value, str) else value)]
        return tuple(dict.fromkeys(name for name in names if name))

    def with_models(self, pin: Callable[[str], str]) -> Self:
        """The same parameters with each further model's name replaced by what `pin` makes of it."""
        update: dict[str, Any] = {}
        for name in self.model_fields_of:
            value = getattr(self, name)
            is_one = isinstance(value, str)
            update[name] = (pin(value) if value else "") if is_one else tuple(pin(one) for one in value if one)
        return self.model_copy(update=update)


class NoParams(Spec):
    """The parameters of an entry that takes none."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the site shows of a registered thing.

    name      identifier, unique within its registry (snake_case)
    title     what a page calls it
    meaning   one sentence in plain words
    version   raised whenever results change; results of different versions stand side by side
    target    "module:attribute", imported on first use only
    params    pydantic model of the parameters (torch-free)
    paper     where the method comes from ("Authors, venue year, identifier"), empty if it has none
    """

    name: str
    title: str
    meaning: str
    target: str
    version: str = "1"
    params: type[Spec] = NoParams
    paper: str = ""

    def load(self) -> Any:
        """Import and return the target. Costs the import on the first call."""
        module_name, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module_name), attribute)


@dataclass(frozen=True, kw_only=True)
class JobEntry(Entry):
    """Something that a job can run; the target is `run(spec, context) -> Outcome`.

    queue               Celery queue: "cpu", "gpu" or "housekeeping" (without a GPU the cpu workers serve "gpu" too)
    needs               what a job of this kind names: "model", "dataset", both or neither
    waits_for           kind of the job whose result this one reads (same model and data set), e.g. "features"
    reuse               "result": a succeeded twin is offered, not run again; "active": only an unfinished twin counts
    time_limit_seconds  after which the job fails with error kind "timeout"
    reads_by_range      can read safetensors of a hub by byte ranges, so the weights need not lie here
    fits                (model, dataset) -> None if this kind can run on them, else a sentence that says why not
    refuses             (parameters, dataset, store folder) -> None, or the UserError that the run would end with: what
                        can be known before anything is queued, from what is at hand
    """

    queue: Literal["cpu", "gpu", "housekeeping"] = "cpu"
    needs: tuple[Literal["model", "dataset"], ...] = ()
    waits_for: str | None = None
    waits_for_params: Callable[[Any], dict[str, Any]] | None = None
    reuse: Literal["result", "active"] = "result"
    time_limit_seconds: int = 3600
    reads_by_range: bool = False
    fits: Callable[[ModelRef | None, DatasetRef | None], str | None] = field(default=lambda model, dataset: None)
    refuses: Callable[[Any, DatasetRef | None, Path], UserError | None] = field(
        default=lambda spec, dataset, store: None
    )


@dataclass(frozen=True, kw_only=True)
class MetricEntry(Entry):
    """A transferability metric; the target is `score(features, labels, *, seed, **params) -> float`.

    role        "ranking": orders models; "part": one term of a published combination over many models, made when it
                is read; "health": describes the features, neither high nor low is better. Rankings, blends and
                baselines read "ranking" alone
    range       text such as "(-inf, 0]"
    needs       what the target takes beyond labels: "features", "source_probabilities", "tokens"
    interval    "halves": from stratified half-samples; "rows": the score is a mean over rows, and its target has
                `terms(shared, *, seed, **params) -> (N,)`, of which the interval is a bootstrap
    cost        "cheap" (one Gram matrix), "medium", "heavy"
    tasks       of data sets that it has a meaning for: "classification", "multi-label", "regression"
    evidence    how it orders models on the published evidence that comes with Hubscope, against a list that never looks
                at the data; "" where nothing was published
    """

    role: Literal["ranking", "part", "health"] = "ranking"
    higher_is_better: bool = True
    range: str = "(-inf, inf)"
    needs: tuple[str, ...] = ("features",)
    interval: Literal["halves", "rows"] = "halves"
    cost: Literal["cheap", "medium", "heavy"] = "cheap"
    tasks: tuple[Literal["classification", "multi-label", "regression"], ...] = ("classification",)
    evidence: Literal["", "beats the static list", "does not beat the static list"] = ""


@dataclass(frozen=True, kw_only=True)
class HeadEntry(Entry):
    """A classifier on frozen features; the target is a class, see `workers.fewshot.heads.protocol.Head`.

    needs    "features" (one vector a row) or "tokens" (one vector a patch); "class_texts": embeddings of the class
             names by the model's own text tower
    learns   False where no label is read (zero-shot): such a head has one score, without a number of shots
    cost     "cheap" (closed form), "medium" (a convex fit), "heavy" (trees, stochastic training)
    extends  what a class needs that the head was not fitted on: its "name", or "rows" of it, nothing being trained;
             "" where the head knows the classes of its fit alone
    """

    needs: tuple[Literal["features", "tokens", "class_texts"], ...] = ("features",)
    learns: bool = True
    cost: Literal["cheap", "medium", "heavy"] = "cheap"
    extends: Literal["", "name", "rows"] = ""


@dataclass(frozen=True, kw_only=True)
class LoaderEntry(Entry):
    """A way to open a model; the target is `workers.sources.protocols.OpenEncoder`.

    modality       what all its models read; "" where that differs by model
    needs_weights  False where nothing is learned, so that a model has no weight file
    """

    modality: str = ""
    needs_weights: bool = True


@dataclass(frozen=True, kw_only=True)
class DatasetSourceEntry(Entry):
    """A way to open a data set; the target is `open(dataset: DatasetRef) -> Dataset`."""

    modality: str = ""


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """Entries by name. Modules that declare entries are imported on first look-up; third parties add by entry point
    (group `hubscope.<registry name>`, each pointing at an Entry).
    """

    def __init__(self, name: str, *, modules: tuple[str, ...] = ()) -> None:
        self.name = name
        self._modules = modules
        self._entries: dict[str, E] = {}
        self._is_loaded = False
        self._lock = RLock()

    def add(self, entry: E) -> E:
        """Register an entry; raises ValueError if the name is taken by another entry."""
        with self._lock:
            taken = self._entries.get(entry.name)
            if taken is not None and taken != entry:
                raise ValueError(f"{self.name}: the name {entry.name!r} is taken by {taken.target}")
            self._entries[entry.name] = entry
        return entry

    def _load(self) -> None:
        with self._lock:
            if self._is_loaded:
                return
            self._is_loaded = True
            for module in self._modules:
                importlib.import_module(module)
            for point in entry_points(group=f"hubscope.{self.name}"):
                self.add(point.load())

    def get(self, name: str) -> E:
        """The entry of that name; raises UserError with near names if there is none."""
        self._load()
        try:
            return self._entries[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._entries, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else f" Known: {', '.join(sorted(self._entries))}."
            raise UserError(f"There is no {self.name} named {name!r}.{hint}") from None

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[E]:
        self._load()
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def __len__(self) -> int:
        self._load()
        return len(self._entries)


ANALYSES: Registry[JobEntry] = Registry(
    "analyses",
    modules=(
        "workers.sources.entries",
        "workers.filterdb.entries",
        "workers.filterdb.paper_entries",
        "workers.weights.entries",
        "workers.transferability.entries",
        "workers.fewshot.entries",
        "workers.fewshot.protocol_entries",
        "workers.pairs.entries",
    ),
)
METRICS: Registry[MetricEntry] = Registry("metrics", modules=("workers.transferability.entries",))
HEADS: Registry[HeadEntry] = Registry("heads", modules=("workers.fewshot.head_entries",))
LOADERS: Registry[LoaderEntry] = Registry("loaders", modules=("workers.sources.loader_entries",))
DATASET_SOURCES: Registry[DatasetSourceEntry] = Registry(
    "dataset_sources", modules=("workers.sources.dataset_entries",)
)
