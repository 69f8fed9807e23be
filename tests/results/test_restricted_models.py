"""A restricted model on every address of the site: outsiders get no name, no number, no answer; insiders see it.

The addresses come from the URL resolver, so that a new page is looked at too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from hubapp.catalog.models import BaseLink, Card, Model, Paper, PaperLink, Record, SavedSearch, Source
from hubapp.insights.services import insights_refresh
from hubapp.jobs.models import Job, LogLine, Schedule
from hubapp.results.models import Outcome
from tests.results.conftest import Hub, filter_analysis, stored

SLUG, TITLE, NOTE = "acme/zanzibar-net", "Zanzibar Net", "zanzibar-in-words"
UNKNOWN = "acme/nothing-here"


@dataclass
class Secret:
    """The restricted model and everything that hangs on it."""

    model: Model
    ids: set[UUID]  # of jobs and outcomes that outsiders must not find
    mixed: Job  # a batch that holds a job of an open model too

    @property
    def needles(self) -> set[str]:
        """What no outsider may read."""
        return {SLUG, TITLE, NOTE, *map(str, self.ids)}


@pytest.fixture
def secret(hub: Hub, filter_report: Outcome, alice: Any, tmp_path: Path) -> Secret:
    model = hub.models["noise"]
    facts = {"slug": SLUG, "title": TITLE, "author": "acme", "is_private": True, "is_restricted": True}
    Model.objects.filter(pk=model.pk).update(**facts, downloads=10**9, parameters=12_345, library="transformers")
    model.refresh_from_db()
    revision = model.current_revision
    assert revision is not None
    Card.objects.create(revision=revision, text=f"# {TITLE}\n{NOTE}")
    Record.objects.create(model=model, record={"id": SLUG}, digest="1")
    BaseLink.objects.create(child=model, base_name="pixels", relation="finetune")
    PaperLink.objects.create(model=model, paper=Paper.objects.create(arxiv_id="2401.01234"))
    SavedSearch.objects.create(owner=alice, title=TITLE, query="q=zanzibar")
    data = hub.dataset.current_revision

    def job(kind: str, *, digest: str, **values: Any) -> Job:
        title = values.pop("title", f"{kind} of {TITLE}")
        return Job.objects.create(kind=kind, title=title, digest=digest, **values)

    outcomes = [hub.outcomes["noise", kind] for kind in ("transferability", "fewshot")]
    outcomes.append(stored("filterdb", filter_analysis(tmp_path), revision, None, tmp_path))
    Job.objects.filter(outcome__in=outcomes).update(title=f"Result of {TITLE}")
    words = Schedule.objects.create(title=f"Each night {TITLE}", cron="0 1 * * *", kind="fewshot", search="q=zanzibar")
    everything = Schedule.objects.create(title="Everything", cron="0 1 * * *", kind="fewshot", search="modality=image")
    everything.datasets.add(hub.dataset)
    batch = {"is_parent": True, "status": "running", "started_at": timezone.now()}
    own = job("fewshot", digest="a", **batch)
    of_schedule = job("fewshot", digest="b", title=f"Night {TITLE}", schedule=words, **batch)
    mixed = job("fewshot", digest="c", title="Everything", schedule=everything, **batch)
    LogLine.objects.create(job=mixed, text=f"{TITLE} was left out")
    values = {"revision": revision, "dataset_revision": data}
    running = job("features", digest="d", parent=own, status="running", started_at=timezone.now(), **values)
    waiting = job("fewshot", digest="e", parent=mixed, waits_for=running, **values)
    seen = job("fewshot", digest="f", title="Of pixels", parent=mixed, revision=hub.models["pixels"].current_revision)
    of_schedule.linked.add(seen, waiting)
    job("fewshot", digest="i", title="Again", **batch).linked.add(seen, waiting)
    site = job("source_sync", digest="g", title="Sync", status="running", started_at=timezone.now())
    Job.objects.filter(pk=site.pk).update(progress_note=SLUG, params={"names": [SLUG]})
    ended = job("source_sync", digest="h", title="Sync", status="succeeded", finished_at=timezone.now())
    told = Outcome.objects.create(job=ended, kind="source_sync", analysis_version="1", summary={"sentence": SLUG})
    open_revision = hub.models["pixels"].current_revision
    base = {"revision": open_revision, "params": {"base": f"{SLUG}@{revision.digest}"}}
    compared = job("weight_difference", digest="j", status="succeeded", finished_at=timezone.now(), **base)
    difference = Outcome.objects.create(
        job=compared, kind="weight_difference", analysis_version="1", summary={"sentence": TITLE}, **base
    )
    jobs = [own, of_schedule, running, waiting, site, ended, compared, *(outcome.job for outcome in outcomes)]
    ids = {one.pk for one in jobs} | {one.pk for one in [*outcomes, told, difference]}
    insights_refresh()
    return Secret(model=model, ids=ids, mixed=mixed)


def routes() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Every route outside the admin, as a format string and its (parameter, kind of parameter) pairs."""

    def walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                if pattern.namespace != "admin":
                    yield from walk(pattern.url_patterns, route)
                continue
            converters = pattern.pattern.converters
            kinds = [(name, type(converter).__name__) for name, converter in converters.items()]
            for name, kind in kinds:
                known = {
                    "IntConverter": "int",
                    "UUIDConverter": "uuid",
                    "SlugConverter": "slug",
                    "StringConverter": "str",
                }
                route = route.replace(f"<{known.get(kind, '')}:{name}>", f"{{{name}}}").replace(
                    f"<{name}>", f"{{{name}}}"
                )
                for own in ("name", "dataset"):
                    route = route.replace(f"<{own}:{name}>", f"{{{name}}}")
            assert "<" not in route, f"teach this test the parameters of {route}"
            yield route, kinds

    yield from walk(get_resolver().url_patterns, "/")


def addresses(secret: Secret) -> Iterator[str]:
    """Every address that the routes make of what there is."""
    words = [
        "digits",
        "filters",
        "health",
        "pictures",
        "drift",
        "alpha",
        "accuracy",
        "sections",
        "task",
        "library",
        "archive",
        "restore",
    ]
    uuids = [*Job.objects.values_list("pk", flat=True), *Outcome.objects.values_list("pk", flat=True)]
    numbers = {
        pk for rows in (Source, Schedule, Paper, SavedSearch) for pk in rows.objects.values_list("pk", flat=True)
    }
    values: dict[str, list[Any]] = {
        "UUIDConverter": uuids,
        "IntConverter": sorted(numbers),
        "SlugConverter": words,
        "StringConverter": ["predictions.npz", "archive", "2401.01234"],
    }
    for route, kinds in routes():
        options = [values.get(kind, [SLUG, "pixels"]) for _, kind in kinds]
        for chosen in itertools.product(*options):
            yield route.format(**dict(zip([name for name, _ in kinds], chosen, strict=True)))


QUERIES = [
    f"/models/?q={word}" for word in ("zanzibar", "acme", "words")
] + [
    "/models/?analysed=yes",
    "/models.json?library=transformers&of=library&like=trans",
    "/jobs/?all=1",
    "/jobs.json?all=1",
    "/jobs/?model=zanzibar",
    "/jobs.json?status=running&all=1",
    "/jobs/models/?model=zan",
    "/jobs/models/?models=acme",
    "/compare/?models=pixels,copies",
    "/compare.json?models=pixels,copies",
    "/compare/filters/?models=pixels,copies",
    "/filter-positions/pixels/?axis=author",
    "/filter-positions/pixels.json?axis=model",
    "/filter-position-charts/pixels.json?axis=model",
    "/filters.json?axis=model",
    "/compare/filters.json?models=pixels,copies",
    "/compare/filters/charts/drift.json?models=pixels,copies",
    "/compare/weights.json?models=pixels,copies",
    "/compare/weights/charts/alpha.json?models=pixels,copies",
    "/datasets/digits/fewshot.json?models=pixels",
    "/datasets/digits/ranking.json?by=logme",
    "/datasets/digits/ranking/?limit=3",
    "/sources/?q=zanzibar",
]  # fmt: skip


@pytest.fixture(params=["nobody", "charlie"])
def outsider(request: pytest.FixtureRequest, client: Client, charlie: Any) -> Client:
    """Somebody who is not signed in, and somebody whose account was switched off meanwhile."""
    if request.param == "charlie":
        charlie.is_active = True
        charlie.save()
        client.force_login(charlie)
        charlie.is_active = False
        charlie.save()
    return client


def body_of(response: Any) -> str:
    return (b"".join(response.streaming_content) if response.streaming else response.content).decode("utf-8", "replace")


def test_outsiders_find_nothing_anywhere(outsider: Client, secret: Secret) -> None:
    looked_at, answered = 0, 0
    for address in [*addresses(secret), *QUERIES]:
        response = outsider.get(address)
        text = body_of(response)
        names_it = SLUG in address or any(str(one) in address for one in secret.ids)
        looked_at += 1
        if not names_it:
            assert response.status_code < 500, address
            answered += response.status_code == 200
            found = [needle for needle in secret.needles if needle in text or needle in str(response.headers)]
            assert not found, f"{address} answers {response.status_code} and tells {found}"
        else:
            # Forms send to the sign-in page, and what only takes POST says so, whatever the address names.
            assert response.status_code in {404, 405} or response["Location"].startswith("/accounts/login/"), address
            assert TITLE not in text, address
            assert NOTE not in text, address
    assert looked_at > 200
    assert answered > 60


@pytest.mark.parametrize(
    "address",
    [
        "/models/{}/",
        "/models/{}.json",
        "/scores/{}/",
        "/scores/{}.json",
        "/filters/{}/",
        "/filters/{}.json",
        "/weights/{}/",
        "/weights/{}.json",
        "/filter-positions/{}/",
        "/weight-differences/{}.json",
    ],
)
def test_it_answers_like_a_name_that_nobody_has(outsider: Client, secret: Secret, address: str) -> None:
    # Names of the same length and words that nobody has give the same answer, hints and all.
    known, unknown = outsider.get(address.format(SLUG)), outsider.get(address.format("acme/zanzibor-net"))
    assert known.status_code == unknown.status_code == 404
    assert body_of(known) == body_of(unknown).replace("acme/zanzibor-net", SLUG)


def test_a_comparison_with_it_is_one_with_an_unknown_model(outsider: Client, secret: Secret) -> None:
    known, unknown = (outsider.get(f"/compare.json?models=pixels,{slug}") for slug in (SLUG, UNKNOWN))
    assert known.status_code == unknown.status_code == 400
    assert body_of(known) == body_of(unknown).replace(UNKNOWN, SLUG)


def test_outsiders_do_not_count_it(outsider: Client, secret: Secret) -> None:
    open_models = Model.objects.filter(archived_at__isnull=True, is_restricted=False).count()
    front = outsider.get("/index.json").json()
    assert front["counts"]["models"] == open_models
    assert front["counts"]["parameters"] == 0
    assert front["counts"]["analyses"] == 5
    assert (front["running"]["running"], front["running"]["queued"]) == (0, 1)
    assert outsider.get("/insights.json").json()["models"] == open_models
    assert outsider.get("/insights.json").json()["downloads"] == 0
    batch = outsider.get(f"/jobs/{secret.mixed.pk}.json").json()
    assert (batch["progress_total"], [job["title"] for job in batch["jobs"]], batch["log"]) == (1, ["Of pixels"], [])
    again = outsider.get("/jobs.json?status=running").json()["jobs"]
    assert [(one["title"], one["progress_total"]) for one in again] == [("Again", 1), ("Everything", 1)]
    jobs = outsider.get("/jobs.json?all=1").json()
    assert sum(jobs["counts"].values()) == len(jobs["jobs"]) == 8
    schedules = outsider.get("/schedules.json").json()["schedules"]
    assert [one["title"] for one in schedules] == ["Everything"]
    assert outsider.get(f"/schedules/{schedules[0]['id']}.json").json()["scope"].startswith("4 models × 1 data set")


SHOWN = [
    "/", "/models/?q=zanzibar", f"/models/{SLUG}/", "/jobs/?all=1", "/jobs/?model=zanzibar", "/schedules/", "/running/",
    "/datasets/digits/ranking/", "/datasets/digits/fewshot/", f"/scores/{SLUG}/", f"/filters/{SLUG}/",
    f"/weights/{SLUG}/", f"/filter-positions/{SLUG}/",
    f"/compare/?models=pixels,{SLUG}", "/jobs/models/?model=zan", "/jobs.json?all=1", "/index.json",
    "/datasets/digits/ranking.json", "/datasets/digits/ranking/chart.json?by=logme", "/schedules.json", "/insights/",
]  # fmt: skip


def test_members_see_it_where_it_belongs(client: Client, bob: Any, secret: Secret) -> None:
    client.force_login(bob)
    for address in SHOWN:
        response = client.get(address)
        assert response.status_code == 200, address
        assert SLUG in body_of(response) or TITLE in body_of(response), address
    for job in Job.objects.filter(pk__in=secret.ids):
        assert client.get(f"/jobs/{job.pk}/").status_code == 200
    for outcome in Outcome.objects.filter(pk__in=secret.ids):
        assert client.get(f"/outcomes/{outcome.pk}.json").status_code == 200
    outcome = Outcome.objects.get(revision__model=secret.model, kind="fewshot")
    download = client.get(f"/outcomes/{outcome.pk}/files/predictions.npz")
    assert download.status_code == 200
    assert len(body_of(download)) > 1000
    for address in ("/datasets/digits/ranking/", f"/compare/?models=pixels,{SLUG}", f"/outcomes/{outcome.pk}/"):
        assert ">private</span>" in body_of(client.get(address)), address
    batch = client.get(f"/jobs/{secret.mixed.pk}.json").json()
    assert (batch["progress_total"], len(batch["jobs"]), len(batch["log"])) == (2, 2, 1)
    assert client.get("/index.json").json()["counts"]["models"] == 5


def test_a_gated_model_of_an_open_source_is_seen(client: Client, secret: Secret) -> None:
    Model.objects.filter(pk=secret.model.pk).update(is_restricted=False, is_private=False, gated="auto")
    assert client.get(f"/scores/{SLUG}/").status_code == 200
    assert TITLE in client.get("/datasets/digits/ranking/").content.decode()
