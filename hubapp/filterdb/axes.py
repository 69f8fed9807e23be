"""Axes: what models are grouped by, and which group each of them belongs to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.contrib.auth.models import AnonymousUser, User

from hubapp.catalog.filters import FACETS, ModelQuery
from hubapp.catalog.models import BaseLink, Model
from hubapp.catalog.search import facet_label, model_list
from hubapp.filterdb.naming import CATEGORY_NAMES, architecture_family, dataset_key, visual_category
from workers.kit import UserError
from workers.statistics.layer_groups import DECILES

Person = User | AnonymousUser | None
Names = dict[int, tuple[str, ...]]

NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What models are grouped by.

    name, title    identifier, and what pages call it ("task", "Task")
    meaning        one sentence: where the groups come from
    groups_of      (models, who asks, parameters) -> names of the groups of each model that counts
    is_by_depth    groups are depth deciles, which every model has; `groups_of` then only says which models count
    is_multiple    a model may be in several groups
    has_order      groups have an order of their own; else the largest comes first
    parameters     names of the parameters that it needs
    """

    name: str
    title: str
    meaning: str
    groups_of: Callable[[Collection[int], Person, Mapping[str, str]], Names]
    is_by_depth: bool = False
    is_multiple: bool = False
    has_order: bool = False
    parameters: tuple[str, ...] = field(default=())


def axis_of(name: str) -> Axis:
    """The axis of that name. Raises UserError if there is none."""
    try:
        return AXES[name]
    except KeyError:
        raise UserError(f"There is no axis named {name!r}. Known: {', '.join(AXES)}.") from None


def _visible(models: Collection[int], user: Person) -> Any:
    """Those of the models that this person may know of."""
    return Model.objects.active().filter(pk__in=models).visible_to(user)  # type: ignore[attr-defined]


def _by(
    columns: tuple[str, ...],
    names: Callable[..., tuple[str, ...]],
    models: Collection[int],
    user: Person,
    parameters: Mapping[str, str],
) -> Names:
    """Groups that follow from columns of the model itself."""
    return {key: names(*values) for key, *values in _visible(models, user).values_list("pk", *columns)}


def _plain(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


def _words(value: str) -> tuple[str, ...]:
    return (value.replace("-", " "),) if value else ()


def _trained_on(datasets: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(dataset_key(name) for name in datasets if name.strip()))


def _tagged(tags: list[str], kind: str) -> list[str]:
    return [tag.removeprefix(kind) for tag in tags if tag.startswith(kind)]


def _category(tags: list[str], datasets: list[str]) -> tuple[str, ...]:
    stated = [name for name in _tagged(tags, "visual:") if name in CATEGORY_NAMES]
    return tuple(stated[:1]) or _plain(visual_category(datasets))


def _precision(by_dtype: Mapping[str, int] | None) -> tuple[str, ...]:
    """The type of most of the weights."""
    sizes = {name: number for name, number in (by_dtype or {}).items() if isinstance(number, int)}
    return (max(sorted(sizes), key=sizes.__getitem__),) if sizes else ()


def _facet(name: str, facets: list[str]) -> tuple[str, ...]:
    start = f"{name}="
    values = (key.removeprefix(start) for key in facets if key.startswith(start))
    return tuple(facet_label(name, value) for value in values if value)


def _pretrained(models: Collection[int], user: Person, parameters: Mapping[str, str]) -> Names:
    """Data sets of the pre-training: as a tag says, else those of the bases that this person may know of."""
    rows = list(_visible(models, user).values_list("pk", "tags"))
    found = {key: _trained_on(_tagged(tags, "pretrained:")) for key, tags in rows}
    open_keys = [key for key, names in found.items() if not names]
    links = list(BaseLink.objects.filter(child_id__in=open_keys).values_list("child_id", "base_name"))
    bases = Model.objects.filter(slug__in={base for _, base in links}).visible_to(user)
    datasets = dict(bases.values_list("slug", "dataset_names"))
    for child, base in links:
        found[child] = tuple(dict.fromkeys((*found[child], *_trained_on(datasets.get(base, [])))))
    return found


RELATIONS = {
    "finetune": "finetunes",
    "adapter": "adapters",
    "merge": "merges",
    "quantized": "quantised",
}


def _relation(models: Collection[int], user: Person, parameters: Mapping[str, str]) -> Names:
    """Bases of models that this person may know of, and what was made from one."""
    rows = list(_visible(models, user).values_list("pk", "slug", "relation"))
    children = Model.objects.active().visible_to(user)  # type: ignore[attr-defined]
    links = BaseLink.objects.filter(base_name__in=[slug for _, slug, _ in rows], child__in=children)
    bases = set(links.values_list("base_name", flat=True))
    out: Names = {}
    for key, slug, relation in rows:
        made = (RELATIONS.get(relation, relation),) if relation else ()
        out[key] = (*made, *(("base models",) if slug in bases else ()))
    return out


def _depth(models: Collection[int], user: Person, parameters: Mapping[str, str]) -> Names:
    return dict.fromkeys(_visible(models, user).values_list("pk", flat=True), ())


def _searches(models: Collection[int], user: Person, parameters: Mapping[str, str]) -> Names:
    """Two searches of the model list, "a" and "b", each the query of its address."""
    out: dict[int, list[str]] = {}
    for letter in ("a", "b"):
        query = ModelQuery.parse(parameters.get(letter, "")).changed(is_archived=False)
        for key in model_list(query, user=user).order_by().filter(pk__in=models).values_list("pk", flat=True):
            out.setdefault(key, []).append(f"search {letter.upper()}")
    return {key: tuple(names) for key, names in out.items()}


def decile_name(decile: int) -> str:
    """What a depth decile is called: "depth 0.3–0.4"."""
    return f"depth {decile / DECILES:.1f}–{(decile + 1) / DECILES:.1f}"


_FACET_AXES = {
    "licence": "licence",
    "licence_family": "family",
    "library": "library",
    "architecture": "architecture",
    "parameters": "size",
    "modality": "modality",
    "format": "format",
    "language": "language",
    "documentation": "documentation",
    "safety": "safety",
}

AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (
        Axis(name="task", title="Task", meaning="The task that the model's card or source states.",
             groups_of=partial(_by, ("task",), _words)),
        Axis(name="visual_category", title="Visual category",
             meaning="What the pictures of the training data show, by a table of data set names.",
             groups_of=partial(_by, ("tags", "dataset_names"), _category)),
        Axis(name="training_data", title="Training data",
             meaning="The data sets that the card names; a model with several is in each of their groups.",
             groups_of=partial(_by, ("dataset_names",), _trained_on), is_multiple=True),
        Axis(name="pretraining_data", title="Pre-training data",
             meaning="The data sets of the pre-training: those stated, else those of the base model.",
             groups_of=_pretrained, is_multiple=True),
        Axis(name="family", title="Architecture family",
             meaning="The architecture's name without size, version and task.",
             groups_of=partial(_by, ("architecture",), lambda text: _plain(architecture_family(text)))),
        Axis(name="depth", title="Depth",
             meaning="Tenths of the depth of each model, from the first convolution to the last.",
             groups_of=_depth, is_by_depth=True, has_order=True),
        Axis(name="precision", title="Precision", meaning="The type of most of the weights in the files.",
             groups_of=partial(_by, ("current_revision__parameters_by_dtype",), _precision)),
        Axis(name="author", title="Author", meaning="Who published the model.",
             groups_of=partial(_by, ("author",), _plain)),
        Axis(name="model", title="Model", meaning="Each model is a group.",
             groups_of=partial(_by, ("slug",), _plain)),
        Axis(name="relation", title="Relation",
             meaning="Models that others were made from, against finetunes, adapters, merges and quantised ones.",
             groups_of=_relation, is_multiple=True),
        Axis(name="year", title="Year", meaning="The year in which the model was published.",
             groups_of=partial(_by, ("published_at",), lambda moment: (str(moment.year),)), has_order=True),
        Axis(name="source", title="Source", meaning="The hub, folder or file that the model came from.",
             groups_of=partial(_by, ("source__title",), _plain)),
        *(
            Axis(name=name, title=FACETS[facet], meaning=f"The facet “{FACETS[facet]}” of the model list.",
                 groups_of=partial(_by, ("facets",), partial(_facet, facet)),
                 is_multiple=facet in {"format", "language"})
            for name, facet in _FACET_AXES.items()
        ),
        Axis(name="searches", title="Two searches",
             meaning="Two searches of the model list; a model that both find is in both groups.",
             groups_of=_searches, is_multiple=True, has_order=True, parameters=("a", "b")),
    )
}  # fmt: skip
