"""What the page of the whole hub says, from the figures of `hubapp.insights.figures`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from hubapp import charts
from hubapp.catalog.documentation import LEVELS, RULES
from hubapp.catalog.licences import FAMILIES
from hubapp.catalog.models import Model
from hubapp.catalog.models.model import is_insider
from hubapp.charts.months import monthly
from hubapp.insights.figures import FIRST_MONTH, Figures, hub_figures
from hubapp.insights.licences import KINDS
from hubapp.insights.models import Snapshot
from hubapp.jobs.visibility import Person
from workers.statistics import Share, wilson_share

AT_ONCE = 2_000  # models up to which everything is counted when it is asked for
CARDS_AT_ONCE = 60
LEVEL_ORDER = ("good", "partial", "thin", "none", "not-read")
LEVEL_TITLES = {"none": "no card", "not-read": "card not read"}
OTHERS = "all others"
OUTLIER_FROM = 0.1  # share of all downloads from which one model is named


def percent(count: int, of: int) -> str:
    """A share in percent with one decimal; "<0.1%" for what would round to nothing, a dash of nothing."""
    if not of:
        return "–"
    share = 100 * count / of
    return "<0.1%" if 0 < share < 0.05 else f"{share:.1f}%"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the models: how many of how many.

    query  the search of the model list that finds them; "" where there is none
    """

    title: str
    count: int
    of: int
    note: str = ""
    query: str = ""

    @property
    def percent(self) -> str:
        """The share in percent; a dash of nothing."""
        return percent(self.count, self.of)


@dataclass(frozen=True, kw_only=True)
class Section:
    """How many of the cards that were read meet a rule of the documentation score."""

    title: str
    help: str
    share: Share
    met: int
    known: int


@dataclass(frozen=True, kw_only=True)
class LicenceRow:
    """A licence or family: models, downloads of 30 days as sum and median, and the ranks by each of the three."""

    name: str
    title: str
    models: int
    models_percent: str
    downloads: int
    downloads_percent: str
    median: float | None
    ranks: tuple[int, int, int]
    query: str


@dataclass(frozen=True, kw_only=True)
class HubInsights:
    """The figures of the whole hub, as one audience sees them. made_at None: counted just now."""

    figures: Figures
    made_at: dt.datetime | None
    outlier: str

    @property
    def models(self) -> int:
        """How many there are."""
        return int(self.figures["models"])

    @property
    def documented(self) -> list[Part]:
        """What models state."""
        found = self.figures
        read, formats = found["card_read"], found["formats"]
        known = "of models whose formats are known"
        of = self.models

        def part(title: str, key: str, of: int, note: str = "", query: str = "") -> Part:
            return Part(title=title, count=found[key], of=of, note=note, query=query)

        return [
            part("A licence", "licence", of, "in the front matter or as a tag"),
            part("A base model", "base", of, "models that say what they were made from"),
            part("Data sets", "datasets", of, "that they were trained on"),
            part("A paper", "paper", of, "by its arXiv number"),
            part("A language", "language", of),
            part("Weights as safetensors", "safetensors", formats, known, "format=safetensors"),
            part("Weights as pickle only", "pickle_only", formats, known),
            part("A card that was read", "card_read", of, f"of {read + found['no_card']:,} of which it is known"),
            part("Known to have no card", "no_card", of, query="documentation=none"),
        ]  # fmt: skip

    @property
    def levels(self) -> list[Part]:
        """The documentation levels, the best first."""
        counts = self.figures["levels"]
        return [
            Part(
                title=LEVEL_TITLES.get(level, level),
                count=counts.get(level, 0),
                of=self.models,
                note="" if level in LEVEL_TITLES else LEVELS[level],  # type: ignore[index]
                query=f"documentation={level}",
            )
            for level in LEVEL_ORDER
        ]

    @property
    def sections(self) -> list[Section]:
        """The share of each rule over the cards that were read; none where no card was."""
        rules = {rule.name: rule for rule in RULES}
        return [
            Section(
                title=rules[one["rule"]].title,
                help=rules[one["rule"]].missing,
                share=wilson_share(one["met"], one["known"]),
                met=one["met"],
                known=one["known"],
            )
            for one in self.figures["sections"]["rules"]
            if one["rule"] in rules and one["rule"] != "card"
        ]

    @property
    def cards_sentence(self) -> str:
        """Which cards the shares speak of."""
        judged, read = self.figures["sections"]["cards"], self.figures["card_read"]
        which = f"{judged:,} cards" if judged >= read else f"{judged:,} of {read:,} cards, drawn at random"
        return (
            f"Shares of {which}. Cards are read when somebody asks for a model's details, so they are no random part "
            "of the hub: the interval is that of the cards, not of all models."
        )

    def _licence_rows(self, key: str) -> list[LicenceRow]:
        rows = self.figures[key]
        downloads = self.figures["downloads"]

        def rank(value: Any, name: str) -> int:
            return 1 + len([one for one in rows if (one[name] or 0) > (value or 0)])

        return [
            LicenceRow(
                name=row["name"],
                title=(FAMILIES.get(row["name"], row["name"]) if key == "families" else row["name"]) or "not stated",
                models=row["models"],
                models_percent=percent(row["models"], self.models),
                downloads=row["downloads"],
                downloads_percent=percent(row["downloads"], downloads),
                median=row["median"],
                ranks=(
                    rank(row["models"], "models"),
                    rank(row["downloads"], "downloads"),
                    rank(row["median"], "median"),
                ),
                query=f"{'family' if key == 'families' else 'licence'}={row['name']}",
            )
            for row in rows
        ]

    @property
    def families(self) -> list[LicenceRow]:
        """Licence families, the most frequent first."""
        return self._licence_rows("families")

    @property
    def licences(self) -> list[LicenceRow]:
        """The most frequent licences; ranks are among these."""
        return self._licence_rows("licences")

    @property
    def drift(self) -> list[Part]:
        """Derivatives whose licence is at odds with a base's, by kind."""
        drift = self.figures["drift"]
        return [Part(title=KINDS.get(kind, kind), count=n, of=drift["stated"]) for kind, n in drift["kinds"].items()]

    @property
    def drift_sentence(self) -> str:
        """How many derivatives state more than their base grants."""
        drift = self.figures["drift"]
        if not drift["derivatives"]:
            return "No model here names a base that is in the catalogue."
        text = f"{drift['derivatives']:,} models name a base that is in the catalogue."
        if drift["stated"]:
            text += (
                f" Of the {drift['stated']:,} that state a licence, as their base does, {drift['at_odds']:,} "
                f"({percent(drift['at_odds'], drift['stated'])}) state more than the base leaves room for."
            )
        if drift["unstated"]:
            text += f" {drift['unstated']:,} state none though their base does: its licence still holds."
        return text

    @property
    def months_sentence(self) -> str:
        """What the charts over months leave out, and why."""
        before = self.figures["months"]["task"]["before"]
        text = (
            f"Hubs record creation dates since March 2022; whatever is older carries that month, so trends start in "
            f"{FIRST_MONTH:%B %Y}"
        )
        text += f" and leave out {before:,} {'model' if before == 1 else 'models'}." if before else "."
        return f"{text} The last month may not be over. Models that were deleted since do not count."

    def chart(self, name: str) -> charts.Figure | None:
        """The chart "sections", "task" or "library"; None for any other."""
        if name == "sections":
            rows = [
                charts.Estimate(
                    name=one.title, value=one.share.value, low=one.share.low, high=one.share.high
                )
                for one in sorted(self.sections, key=lambda one: -(one.share.value or 0))
            ]  # fmt: skip
            return charts.ranking(rows, title="Share of cards")
        if name not in self.figures["months"]:
            return None
        found = self.figures["months"][name]
        series = [
            (OTHERS if one["name"] is None else one["name"].replace("-", " ") or "not stated", one["counts"])
            for one in found["series"]
        ]
        return monthly(found["months"], series, title="Models created in the month", others=OTHERS)

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        return {
            "made_at": self.made_at,
            "models": self.models,
            "parameters": self.figures["parameters"],
            "documents": {part.title: {"count": part.count, "of": part.of} for part in self.documented},
            "levels": self.figures["levels"],
            "sections": self.figures["sections"],
            "downloads": self.figures["downloads"],
            "outlier": self.outlier or None,
            "families": self.figures["families"],
            "licences": self.figures["licences"],
            "drift": self.figures["drift"],
            "months": self.figures["months"],
        }


def hub_insights(user: Person) -> HubInsights | None:
    """The figures for this person: counted now where models are few, else the newest roll-up; None without one."""
    sees_all = is_insider(user)
    made_at = None
    if Model.objects.filter(archived_at__isnull=True).order_by()[: AT_ONCE + 1].count() <= AT_ONCE:
        figures = hub_figures(sees_all=sees_all, most_cards=CARDS_AT_ONCE)
    else:
        snapshot = Snapshot.objects.order_by("-pk").first()
        if snapshot is None:
            return None
        figures, made_at = snapshot.figures_for(is_insider=sees_all), snapshot.made_at
    return HubInsights(figures=figures, made_at=made_at, outlier=_outlier(user, figures["downloads"]))


def _outlier(user: Person, downloads: int) -> str:
    """What the most downloaded model does to sums, in words; looked up now, so that it names no model unduly."""
    rows = Model.objects.visible_to(user).filter(archived_at__isnull=True, downloads__gt=0)
    top = rows.order_by(F("downloads").desc(nulls_last=True)).values_list("slug", "downloads").first()
    share = min(1.0, top[1] / downloads) if top and downloads else 0.0
    if top is None or share < OUTLIER_FROM:
        return ""
    return (
        f"One model, {top[0]}, has {share:.1%} of all downloads, so sums say little about the rest: "
        "read the medians and ranks beside them."
    )
