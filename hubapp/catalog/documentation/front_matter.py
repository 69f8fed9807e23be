"""What the front matter of a card, or the tags of its record, state: licence, task, data sets, bases, language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hubapp.catalog.licences import licence_normalise

MOST_TAGS = 500

_TASKS_IN_A_LANGUAGE_TEXT = """
text-classification token-classification table-question-answering question-answering zero-shot-classification
translation summarization feature-extraction text-generation text2text-generation fill-mask sentence-similarity
text-ranking conversational text-to-speech text-to-audio automatic-speech-recognition
document-question-answering visual-question-answering image-to-text image-text-to-text audio-text-to-text
video-text-to-text any-to-any visual-document-retrieval
"""
_TASKS_IN_A_LANGUAGE = frozenset(_TASKS_IN_A_LANGUAGE_TEXT.split())
_TASKS_WITHOUT_TEXT = """
audio-classification audio-to-audio voice-activity-detection depth-estimation image-classification
object-detection image-segmentation text-to-image image-to-image image-to-video unconditional-image-generation
video-classification reinforcement-learning robotics tabular-classification tabular-regression tabular-to-text
time-series-forecasting text-to-video zero-shot-image-classification mask-generation zero-shot-object-detection
text-to-3d image-to-3d image-feature-extraction keypoint-detection graph-ml video-to-video other
"""
_TASKS_WITHOUT = frozenset(_TASKS_WITHOUT_TEXT.split())
_LANGUAGES_TEXT = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el
en eo es et eu fa ff fi fj fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu
ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na
nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so
sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
multilingual code
"""
_LANGUAGES = frozenset({*_LANGUAGES_TEXT.split(), "fo"})  # codespell:ignore fo
_DERIVED_TAGS_TEXT = """
generated_from_trainer adapter adapters lora peft merge mergekit gguf ggml gptq awq exl2 quantized finetuned
fine-tuned autotrain unsloth dreambooth textual_inversion
"""
_DERIVED_TAGS = frozenset(_DERIVED_TAGS_TEXT.split())
_DERIVED_LIBRARIES = frozenset({"peft", "adapters", "adapter-transformers"})
_DERIVED_PHRASES = (
    "fine-tuned version of",
    "finetuned version of",
    "fine-tuned from",
    "quantized version of",
    "gguf format model files for",
    "merge of pre-trained language models",
    "lora adaption weights for",
)

Answer = tuple[bool | None, str]
"""Whether a rule is met (None: unknown) and the evidence in words."""


def front_matter_answers(
    front_matter: Mapping[str, object], tags: Sequence[str], body: str, *, is_known: bool
) -> dict[str, Answer]:
    """The answers of the front matter's rules. `is_known` is False where neither card nor record was read."""
    tags = [tag for tag in list(tags)[:MOST_TAGS] if isinstance(tag, str)]
    if not is_known and not front_matter and not tags:
        return dict.fromkeys(("licence", "task", "datasets", "base-model", "language"), (None, "nothing was read"))
    task = _task(front_matter, tags)
    return {
        "licence": _licence(front_matter, tags),
        "task": (bool(task), task),
        "datasets": _named(front_matter, "datasets", tags, "dataset:"),
        "base-model": _base_model(front_matter, tags, body),
        "language": _language(front_matter, tags, task),
    }


def words(value: object, *, most: int = 4) -> str:
    """A value of the front matter in a few words; "" where it says nothing."""
    if value is None or value is False or value == "":
        return ""
    if isinstance(value, (list, tuple)):
        named = [text for text in (words(one) for one in value[: most + 1]) if text]
        return ", ".join(named[:most]) + (" …" if len(named) > most else "")
    if isinstance(value, Mapping):
        return words(value.get("name") or value.get("id") or next(iter(value.values()), ""), most=1)
    text = " ".join(str(value)[:80].split())
    return "" if text.lower() in {"none", "null", "n/a", "unknown", "[]", "{}"} else text


def emissions(front_matter: Mapping[str, object]) -> str:
    """The emissions that the front matter states; "" if none."""
    stated = front_matter.get("co2_eq_emissions")
    return words(stated.get("emissions") if isinstance(stated, Mapping) else stated)


def index_has_numbers(front_matter: Mapping[str, object]) -> bool:
    """Whether the model-index of the front matter holds a measured number."""
    index = front_matter.get("model-index") or front_matter.get("model_index")
    return any(
        isinstance(metric, Mapping) and any(sign.isdigit() for sign in str(metric.get("value", ""))[:200])
        for model in _list(index)
        for result in _list(model.get("results") if isinstance(model, Mapping) else None)
        for metric in _list(result.get("metrics") if isinstance(result, Mapping) else None)
    )


def _list(value: object) -> list[object]:
    return value[:50] if isinstance(value, list) else []


def _tagged(tags: Sequence[str], prefix: str) -> str:
    return words([tag[len(prefix) :] for tag in tags if tag.startswith(prefix)])


def _named(front_matter: Mapping[str, object], key: str, tags: Sequence[str], prefix: str) -> Answer:
    found = words(front_matter.get(key)) or _tagged(tags, prefix)
    return bool(found), found


def _licence(front_matter: Mapping[str, object], tags: Sequence[str]) -> Answer:
    stated = front_matter.get("license") or [tag[8:] for tag in tags if tag.startswith("license:")]
    name, link = words(front_matter.get("license_name")), words(front_matter.get("license_link"))
    licence = licence_normalise(stated, name=name, link=link)
    if not licence.id or licence.id == "unknown":
        return False, "the card says that it is unknown" if licence.id else ""
    if licence.id == "other" and not (name or link) and licence.stated.lower() == "other":
        return False, "only “other”, without a name or a link"
    return True, licence.title[:80]


def _task(front_matter: Mapping[str, object], tags: Sequence[str]) -> str:
    stated = words(front_matter.get("pipeline_tag"))
    return stated or next((tag for tag in tags if tag in _TASKS_IN_A_LANGUAGE or tag in _TASKS_WITHOUT), "")


def _base_model(front_matter: Mapping[str, object], tags: Sequence[str], body: str) -> Answer:
    is_met, found = _named(front_matter, "base_model", tags, "base_model:")
    if is_met:
        return True, found
    sign = next((tag for tag in tags if tag.lower() in _DERIVED_TAGS), "")
    library = words(front_matter.get("library_name")).lower()
    if not sign and library in _DERIVED_LIBRARIES:
        sign = library
    if sign:
        return False, f"the tag or library “{sign}” says that it is made from another model"
    start = body[:20_000].lower()
    if phrase := next((phrase for phrase in _DERIVED_PHRASES if phrase in start), ""):
        return False, f"the card says “{phrase} …”"
    return True, "does not apply: nothing says that it was made from another model"


def _language(front_matter: Mapping[str, object], tags: Sequence[str], task: str) -> Answer:
    found = words(front_matter.get("language")) or words([tag for tag in tags if tag in _LANGUAGES])
    if found:
        return True, found
    if task in _TASKS_WITHOUT:
        return True, f"does not apply to {task}"
    return False, ""
