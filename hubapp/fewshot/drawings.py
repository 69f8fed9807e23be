"""Which few-shot outcomes used the same rows, so that their scores may stand on one chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubapp.catalog.models import Model
from hubapp.results.models import Outcome
from workers.kit import UserError

Draws = dict[int, tuple[str, ...]]  # labels a class -> digests of its draws, in order
MOST_NAMED = 4


@dataclass(kw_only=True, eq=False)
class Drawing:
    """Outcomes whose test rows are the same, and whose labelled rows are the same at each number of labels.

    manifest     digest of the newest outcome's manifest, by which addresses name the drawing
    manifests    digests of all: grids with other numbers of labels have manifests of their own
    draws        of all outcomes together
    oversampled  labels a class -> draws in which a class has rows twice, and all draws
    outcomes     by the model's slug, newest first
    """

    manifest: str
    manifests: set[str] = field(default_factory=set)
    draws: Draws = field(default_factory=dict)
    oversampled: dict[int, tuple[int, int]] = field(default_factory=dict)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    @property
    def models(self) -> list[Model]:
        """The models, by slug."""
        return [model_of(outcomes[0]) for outcomes in self.outcomes.values()]

    @property
    def newest(self) -> Outcome:
        """The newest outcome."""
        return max((outcomes[0] for outcomes in self.outcomes.values()), key=lambda one: one.created_at)

    @property
    def words(self) -> str:
        """How the rows were drawn, and for whom."""
        newest = self.newest
        protocol = newest.provenance.get("protocol") or newest.params.get("protocol") or ""
        seed = newest.provenance.get("seed", newest.params.get("seed"))
        said = [f"protocol {protocol}"] if protocol else []
        said += [f"seed {seed}"] if seed is not None else []
        titles = [model.title for model in self.models]
        more = [f"{len(titles) - MOST_NAMED} more"] if len(titles) > MOST_NAMED else []
        drawn = f" ({', '.join(said)})" if said else ""
        return f"{', '.join([*titles[:MOST_NAMED], *more])}{drawn}"

    def agrees(self, outcome: Outcome, draws: Draws) -> bool:
        """Whether an outcome used these rows, as far as its numbers of labels tell."""
        if self.is_named(_manifest(outcome)) and _manifest(outcome):
            return True
        shared = self.draws.keys() & draws.keys()
        if shared:
            return all(self.draws[k] == draws[k] for k in shared)
        return _drawn_by(self.newest) == _drawn_by(outcome)

    def is_named(self, manifest: str) -> bool:
        """Whether a digest is that of one of its manifests."""
        return manifest in self.manifests


def model_of(outcome: Outcome) -> Model:
    """The model of a few-shot outcome."""
    if outcome.revision is None:
        raise ValueError("a few-shot outcome is of a model")
    return outcome.revision.model


def _manifest(outcome: Outcome) -> str:
    return str(outcome.summary.get("manifest") or "")


def _drawn_by(outcome: Outcome) -> tuple[object, ...]:
    """What the draws follow from where no number of labels is shared."""
    params = outcome.params
    named = tuple(params.get(name) for name in ("protocol", "replicates", "manifest"))
    return (*named, outcome.provenance.get("seed", params.get("seed")), outcome.analysis_version)


def drawings_of(outcomes: Mapping[str, Iterable[Outcome]]) -> list[Drawing]:
    """The outcomes by the rows that they used: the drawing of most models first, of those the newest."""
    newest_first = sorted((one for many in outcomes.values() for one in many), key=lambda one: one.created_at)[::-1]
    shots = _shot_tables(newest_first)
    found: list[Drawing] = []
    for outcome in newest_first:
        draws, oversampled = shots[outcome.pk]
        drawing = next((one for one in found if one.agrees(outcome, draws)), None)
        if drawing is None:
            drawing = Drawing(manifest=_manifest(outcome))
            found.append(drawing)
        drawing.manifests.add(_manifest(outcome))
        drawing.draws = {**draws, **drawing.draws}
        drawing.oversampled = {**oversampled, **drawing.oversampled}
        drawing.outcomes.setdefault(model_of(outcome).slug, []).append(outcome)
    for one in found:
        one.outcomes = dict(sorted(one.outcomes.items()))
    return sorted(found, key=lambda one: -len(one.outcomes))


def drawing_named(drawings: list[Drawing], manifest: str) -> Drawing | None:
    """The drawing that an address names; the first without a name; None where nothing was drawn.

    Raises UserError for a manifest that no outcome used.
    """
    if not manifest:
        return drawings[0] if drawings else None
    for one in drawings:
        if one.is_named(manifest):
            return one
    raise UserError(
        f"No few-shot evaluation here used the rows of manifest {manifest[:64]!r}: leave it out to see those that "
        "most models used.",
        field="rows",
    )


def _shot_tables(outcomes: list[Outcome]) -> dict[Any, tuple[Draws, dict[int, tuple[int, int]]]]:
    """Of each outcome the digests of its draws, read once for outcomes of one manifest and the same numbers."""
    keys = {
        one.pk: (_manifest(one) or str(one.pk), frozenset(score.shots for score in one.scores.all()))
        for one in outcomes
    }
    chosen = {key: pk for pk, key in keys.items()}
    rows = Outcome.objects.filter(pk__in=chosen.values()).values_list("pk", "tables__shots")
    read = {keys[pk]: _draws(table) for pk, table in rows}
    return {pk: read[key] for pk, key in keys.items()}


def _draws(table: Any) -> tuple[Draws, dict[int, tuple[int, int]]]:
    digests: dict[int, list[str]] = {}
    twice: dict[int, int] = {}
    for row in rows_of(table):
        k = int(row["k"])
        digests.setdefault(k, []).append(str(row.get("digest", "")))
        twice[k] = twice.get(k, 0) + bool(row.get("is_oversampled"))
    draws = {k: tuple(found) for k, found in digests.items()}
    return draws, {k: (count, len(draws[k])) for k, count in twice.items() if count}


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of a stored table as dictionaries; none where there is no such table."""
    if not isinstance(table, dict):
        return []
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
