"""What a hub's raw record says of a model, read when it is shown. Records are hostile: odd types are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from hubapp.catalog.facts import count_of, number_of, text_of, texts_of
from hubapp.catalog.models import Model

MOST_SCORES, MOST_FILES, MOST_SPACES, MOST_EXAMPLES = 1000, 20_000, 500, 5
RecordData = Mapping[str, Any]


def record_of(model: Model) -> RecordData:
    """The hub's record of a model, without a query where it was selected along; empty where there is none."""
    record = getattr(getattr(model, "hub_record", None), "record", None)
    return record if isinstance(record, dict) else {}


def mapping_of(value: object) -> Mapping[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, kw_only=True)
class Sibling:
    """A file that the record lists; size and SHA-256 where the record states them."""

    path: str
    size_bytes: int | None
    sha256: str


def siblings_of(record: RecordData) -> list[Sibling]:
    """The files of the record's repository by path, the first MOST_FILES."""
    listed = record.get("siblings")
    found = {}
    for one in listed[:MOST_FILES] if isinstance(listed, list) else ():
        if isinstance(one, dict) and (path := text_of(one.get("rfilename"), 500)):
            lfs = mapping_of(one.get("lfs"))
            size = count_of(one.get("size"))
            size = count_of(lfs.get("size")) if size is None else size
            found[path] = Sibling(path=path, size_bytes=size, sha256=text_of(lfs.get("sha256"), 64))
    return [found[path] for path in sorted(found)]


def code_files(record: RecordData, paths: list[str]) -> list[str]:
    """The Python files that the repository brings along, and those that its configuration wants run."""
    wanted = mapping_of(mapping_of(record.get("config")).get("auto_map")).values()
    named = [f"{text_of(one, 200).split('--')[-1].split('.')[0]}.py" for one in wanted if text_of(one, 200)]
    return list(dict.fromkeys([*(path for path in paths if path.lower().endswith(".py")), *named]))


def parameters_by_dtype(record: RecordData) -> dict[str, int]:
    """Parameters by number type, as the hub read them from safetensors headers; the most first."""
    stated = mapping_of(mapping_of(record.get("safetensors")).get("parameters"))
    counts = {text_of(dtype, 20): count for dtype, value in stated.items() if (count := count_of(value))}
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def spaces_of(record: RecordData) -> list[str]:
    """The Spaces that use the model."""
    return texts_of(record.get("spaces") or [], most=MOST_SPACES, limit=200)


@dataclass(frozen=True, kw_only=True)
class Emissions:
    """Emissions of the training as its author states them, in grams of CO₂ equivalent; `notes` are name and value."""

    grams: float
    notes: tuple[tuple[str, str], ...]


def emissions_of(record: RecordData) -> Emissions | None:
    """The card's `co2_eq_emissions`: a number, or an object with it and how it was found."""
    stated = mapping_of(record.get("cardData")).get("co2_eq_emissions")
    grams = number_of(mapping_of(stated).get("emissions") if isinstance(stated, dict) else stated)
    if grams is None or grams < 0:
        return None
    names = {"source": "found by", "training_type": "training", "geographical_location": "place"}
    names["hardware_used"] = "hardware"
    notes = ((title, text_of(mapping_of(stated).get(name), 300)) for name, title in names.items())
    return Emissions(grams=grams, notes=tuple((title, text) for title, text in notes if text))


def examples_of(record: RecordData) -> list[str]:
    """Example inputs that the record offers as text, the first few."""
    offered = record.get("widgetData")
    found = []
    for one in offered[:100] if isinstance(offered, list) else ():
        texts = [text_of(mapping_of(one).get(name), 300) for name in ("text", "source_sentence", "question", "prompt")]
        found += [text for text in texts if text][:1]
    return list(dict.fromkeys(found))[:MOST_EXAMPLES]


@dataclass(frozen=True, kw_only=True)
class StatedScore:
    """A result that the author states. `value` is as written; `is_verified` says that the hub itself vouches for it."""

    task: str
    dataset: str
    metric: str
    value: str
    is_verified: bool
    source: str
    source_url: str
    date: str


@dataclass(frozen=True, kw_only=True)
class StatedScores:
    """All results that a record states, and how many of its entries could not be read."""

    scores: tuple[StatedScore, ...]
    unread: int


def scores_of(record: RecordData) -> StatedScores:
    """The results of `model-index` and of `.eval_results`, by huggingface_hub's own parsers, one entry at a time."""
    scores: list[StatedScore] = []
    unread = 0
    index = record.get("model-index") or mapping_of(record.get("cardData")).get("model-index")
    for entry in _index_entries(index):
        try:
            _, results = model_index_to_eval_results([entry])
        except (AttributeError, KeyError, TypeError, ValueError):
            unread += 1
            continue
        scores += [_of_index(result) for result in results]
    entries = record.get("evalResultsFiles") or record.get("evalResults")
    for entry in entries[:MOST_SCORES] if isinstance(entries, list) else ():
        try:
            scores += [_of_entry(result) for result in parse_eval_result_entries([entry])]
        except (AttributeError, KeyError, TypeError, ValueError):
            unread += 1
    return StatedScores(scores=tuple(scores[:MOST_SCORES]), unread=unread)


def _index_entries(index: object) -> Iterator[dict[str, Any]]:
    """A model-index cut into entries with one result each, so that a bad one spoils no other."""
    models = index if isinstance(index, list) else [index] if isinstance(index, dict) else []
    for model in models[:100]:
        results = mapping_of(model).get("results")
        for result in results[:MOST_SCORES] if isinstance(results, list) else ():
            yield {"name": mapping_of(model).get("name"), "results": [result]}


def _of_index(result: Any) -> StatedScore:
    dataset = [text_of(result.dataset_name, 200), text_of(result.dataset_config, 100)]
    split = text_of(result.dataset_split, 60)
    named = " · ".join(dict.fromkeys(part for part in dataset if part)) or text_of(result.dataset_type, 200)
    return StatedScore(
        task=text_of(result.task_name, 100) or text_of(result.task_type, 100),
        dataset=f"{named}{f' ({split})' if split else ''}",
        metric=text_of(result.metric_name, 100) or text_of(result.metric_type, 100),
        value=_value(result.metric_value),
        is_verified=result.verified is True,
        source=text_of(result.source_name, 100),
        source_url=_web_address(result.source_url),
        date="",
    )


def _of_entry(result: Any) -> StatedScore:
    return StatedScore(
        task=text_of(result.task_id, 100),
        dataset=text_of(result.dataset_id, 200),
        metric=text_of(result.notes, 200),
        value=_value(result.value),
        is_verified=bool(result.verify_token),
        source=text_of(result.source_name, 100) or text_of(result.source_user, 100),
        source_url=_web_address(result.source_url),
        date=text_of(result.date, 30)[:10],
    )


def _value(value: object) -> str:
    number = number_of(value)
    if number is None:
        return text_of(value, 100) or text_of(str(value), 100)
    return f"{number:.6g}" if isinstance(value, float) else str(value)


def _web_address(value: object) -> str:
    text = text_of(value, 1000)
    return text if text.startswith(("https://", "http://")) and not set(text) & set(" \"'<>\\") else ""
