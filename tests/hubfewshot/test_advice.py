"""Label advice: points and draws against a naive loop, laws against their closed forms, words, and the page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from django.conf import settings
from django.http import QueryDict
from django.test import Client
from django.utils import timezone
from scipy.optimize import brentq

from hubapp.fewshot.advice_points import DRAWS, points_of, tables_of
from hubapp.fewshot.advice_words import Unit
from hubapp.fewshot.advising import Advice, advice_of
from hubapp.fewshot.curves import curves_of
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from hubapp.results.services import outcome_store
from tests.results.conftest import Measured
from workers.fewshot import analysis as fewshot
from workers.fewshot.entries import FewshotSpec
from workers.kit import ANALYSES, DatasetRef, LocalContext, ModelRef, Score, UserError, digest_of
from workers.kit import Outcome as KitOutcome

pytestmark = pytest.mark.django_db
PAGE = "/datasets/digits/fewshot/advice/"
KS = (1, 2, 4, 8, 16, 32)
Law = Callable[[float], float]


@pytest.fixture(scope="session")
def curved(measured: dict[str, Measured]) -> dict[str, KitOutcome]:
    """Real evaluations with enough numbers of labels for a curve; at 64 the classes have too few rows."""
    data = DatasetRef(
        name="digits",
        revision=digest_of("digits"),
        source="digits",
        modality="image",
        classes=tuple(str(digit) for digit in range(10)),
        rows=700,
    )
    found = {}
    for name in ("pixels", "noise"):
        model = ModelRef(
            name=name, revision=digest_of(name), files=("weights",), loader="torchvision", modality="image"
        )
        folder = measured[name].workdir.parent
        workdir = folder / "curved"  # of its own: other tests read what lies in the first
        workdir.mkdir()
        context = LocalContext(model=model, dataset=data, store_dir=folder / "store", workdir=workdir)
        spec = FewshotSpec(
            shots=(1, 2, 4, 8, 16, 64, 0),
            replicates=3,
            heads=("nearest_class_mean",),
            metrics=("accuracy", "brier", "auroc"),
        )
        found[name] = fewshot.run(spec, context)
    return found


def stored(hub: Any, name: str, outcome: KitOutcome, measured: dict[str, Measured]) -> Outcome:
    """The only few-shot outcome of a model."""
    revision = hub.models[name].current_revision
    Outcome.objects.filter(kind="fewshot", revision=revision).delete()
    job = Job.objects.create(
        kind="fewshot",
        digest=f"{name} {Outcome.objects.count()}",
        revision=revision,
        dataset_revision=hub.dataset.current_revision,
        status=Job.Status.SUCCEEDED,
        finished_at=timezone.now(),
    )
    return outcome_store(
        job=job,
        entry=ANALYSES.get("fewshot"),
        outcome=outcome,
        provenance={"device": "cpu"},
        workdir=measured[name].workdir.parent / "curved",
    )


def on_law(
    found: KitOutcome, law: Law, *, metric: str = "accuracy", ks: tuple[int, ...] = KS, error: float = 0.01
) -> KitOutcome:
    """An outcome whose scores lie on a law; with an interval of ± `error`, or none."""
    scores = []
    for k in ks:
        low, high = (law(k) - error, law(k) + error) if error else (None, None)
        scores.append(Score(metric=metric, value=law(k), low=low, high=high, head="nearest_class_mean", shots=k))
    shots, intervals = found.tables["shots"], found.tables["intervals"]
    columns, k_at, digest_at = list(shots.columns), list(shots.columns).index("k"), list(shots.columns).index("digest")
    first = next(row for row in shots.rows if row[k_at] == 1)
    drawn = []
    for k in ks:
        row = list(first)
        row[k_at], row[digest_at] = k, f"law {k}"
        row[columns.index("train_rows")] = row[columns.index("unique_rows")] = 10 * k
        drawn.append(row)
    tables = {
        **found.tables,
        "shots": dataclasses.replace(shots, rows=drawn),
        "intervals": dataclasses.replace(intervals, rows=[]),
    }
    return dataclasses.replace(found, scores=tuple(scores), tables=tables, summary={"manifest": "c" * 64})


@pytest.fixture
def real(hub: Any, measured: dict[str, Measured], curved: dict[str, KitOutcome]) -> Any:
    """The hub with curves of two models; that of the third is removed."""
    Outcome.objects.filter(kind="fewshot").delete()
    for name, outcome in curved.items():
        stored(hub, name, outcome, measured)
    return hub


@pytest.fixture
def lawful(hub: Any, measured: dict[str, Measured], curved: dict[str, KitOutcome]) -> Callable[..., Any]:
    """Replaces all few-shot outcomes by some that lie on laws."""

    def make(laws: dict[str, Law], **more: Any) -> Any:
        Outcome.objects.filter(kind="fewshot").delete()
        for name, law in laws.items():
            stored(hub, name, on_law(curved["pixels" if name == "pixels" else "noise"], law, **more), measured)
        return hub

    return make


def shown(hub: Any, query: str = "") -> Advice:
    hub.dataset.refresh_from_db()
    return advice_of(hub.dataset, query=QueryDict(query))


def power(a: float, b: float, c: float) -> Law:
    return lambda k: a - b * k**-c


def test_draws_are_those_of_a_naive_loop(real: Any) -> None:
    curves = curves_of(real.dataset, query=QueryDict("models=pixels&metric=accuracy"))
    curve = curves.curves[0]
    points = points_of(curve, metric="accuracy", tables=tables_of(curves.curves))
    assert points.has_draws
    assert [point.k for point in points.points] == [1, 2, 4, 8, 16]
    outcome = curve.points[0].outcome
    path = next(one for one in outcome.artifacts.all() if one.name == "predictions.npz")
    with np.load(settings.FILES_DIR / path.location, allow_pickle=False) as archive:
        from_file = dict(archive)
    labels = np.asarray(np.searchsorted(from_file["present_classes"], from_file["labels"]))
    for point in points.points:
        right = from_file[f"nearest_class_mean.k{point.k}.logits"].argmax(axis=2) == labels
        assert point.draws is not None
        assert len(point.draws) == DRAWS
        for draw in (0, 7, DRAWS - 1):
            rows = np.random.RandomState(draw).randint(0, len(labels), len(labels))
            assert point.draws[draw] == pytest.approx(right[:, rows].mean(), abs=1e-6)
    again = points_of(curve, metric="accuracy", tables=tables_of(curves.curves))
    for mine, theirs in zip(points.points, again.points, strict=True):
        assert theirs.draws == pytest.approx(mine.draws, abs=1e-6), "what the cache holds"


def test_filled_numbers_of_labels_are_no_points(real: Any, client: Client) -> None:
    found = shown(real, "models=pixels")
    assert [one.shots for one in found.advised[0].points.filled] == [64]
    fit = found.advised[0].fit
    assert fit is not None
    assert fit.largest_k == 16
    text = client.get(f"{PAGE}?models=pixels").content.decode()
    assert "not used: 64" in text
    figure = client.get(f"{PAGE}chart.json?models=pixels").json()
    hollow = [trace for trace in figure["data"] if trace.get("marker", {}).get("color") == "#fffffe"]
    assert [trace["x"] for trace in hollow] == [[64]]


def test_a_law_gives_its_closed_form(lawful: Any) -> None:
    a, b, c = 0.95, 0.6, 0.7
    hub = lawful({"pixels": power(a, b, c)})
    found = shown(hub, "target=0.9&labels=20")
    (one,) = found.fitted
    assert not one.points.has_draws, "the predictions do not give these scores"
    assert one.expected is not None
    assert one.expected[0] == pytest.approx(a - b * 20**-c, abs=1e-6)
    assert one.gain is not None
    assert one.gain.value == pytest.approx(b * (20**-c - 30**-c), abs=1e-6)
    assert one.need is not None
    assert one.need.labels == math.ceil((b / (a - 0.9)) ** (1 / c)) == 35
    assert not one.missed
    assert found.sentences[0].startswith("With 20 labels a class (200 in all) expect accuracy 0.876 ± ")
    assert "10 more a class would add 0.018" in found.sentences[0]
    assert one.need.low < 35 < one.need.high
    assert found.sentences[1] == f"For a target of 0.9: {one.need.sentence} (280 to 500 in all)."
    exact = shown(lawful({"pixels": power(a, b, c)}, error=0), "target=0.9&labels=20")
    assert exact.sentences[1] == "For a target of 0.9: 35 labels a class (350 in all)."


def test_an_error_falls_and_its_target_lies_below(lawful: Any) -> None:
    hub = lawful({"pixels": lambda k: 0.1 + 1.2 * k**-0.8}, metric="brier")
    found = shown(hub, "metric=brier&target=0.2&labels=10")
    (one,) = found.fitted
    assert found.bounds == (0.0, 2.0), "ten classes"
    assert one.need is not None
    assert one.need.labels == math.ceil((1.2 / 0.1) ** (1 / 0.8))
    assert one.gain is not None
    assert one.gain.value == pytest.approx(1.2 * (10**-0.8 - 20**-0.8), abs=1e-6)
    assert "would take off 0.081" in found.sentences[0]
    assert "Brier score" in found.sentences[0]
    own = shown(hub, "metric=brier")
    assert own.is_ours
    assert own.target == pytest.approx(0.2), "at 32 it is .175, the next step of .1 on the worse side is .2"


def test_curves_cross_where_their_laws_do(lawful: Any, client: Client) -> None:
    fast, slow = power(0.8, 0.5, 1.2), power(0.98, 0.75, 0.45)
    hub = lawful({"pixels": fast, "noise": slow})
    found = shown(hub, "labels=8")
    at = brentq(lambda k: fast(k) - slow(k), 1.2, 60)
    (turn,) = found.crossings
    assert turn.at == pytest.approx(at, rel=0.02)
    assert {one.name for one in found.winners if one.k < at} == {"Pixels"}
    assert {one.name for one in found.winners if one.k > at} == {"Noise"}
    assert 8 in [one.k for one in found.winners]
    for one in found.winners:
        assert one.ahead == pytest.approx(abs(fast(one.k) - slow(one.k)), abs=1e-4)
    text = client.get(f"{PAGE}?labels=8").content.decode()
    assert "Where curves cross" in text
    assert "Pixels is ahead below, Noise above" in text or "Noise and Pixels cross" in text


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("0.3", "met with the fewest labels that were measured (1 label a class (10 in all))"),
        ("0.85", "met already with 20 labels a class"),
        ("0.94", "labels a class"),
        ("0.96", "not reached below 4,096 labels a class"),
        ("90%", "labels a class (280 to 500 in all)"),
        (" 0,9 ", "labels a class"),
        ("1", "not reached below 4,096"),
    ],
)
def test_words_of_a_target(lawful: Any, client: Client, target: str, words: str) -> None:
    hub = lawful({"pixels": power(0.95, 0.6, 0.7)})
    (one,) = shown(hub, f"labels=20&target={target.replace('%', '%25')}").fitted
    assert words in one.need_words
    assert client.get(PAGE, {"labels": "20", "target": target}).status_code == 200


def test_beyond_what_was_measured_is_said(lawful: Any) -> None:
    hub = lawful({"pixels": power(0.95, 0.6, 0.7)})
    assert "extrapolation" not in shown(hub, "labels=32").sentences[0]
    assert "At most 32 were measured" in shown(hub, "labels=50").sentences[0]
    assert "This is an extrapolation: at most 32 were measured" in shown(hub, "labels=100").sentences[0]


def test_a_curve_of_another_shape_is_said(lawful: Any, client: Client) -> None:
    hub = lawful({"pixels": lambda k: 0.4 if k in (1, 2, 16, 32) else 0.8})
    (one,) = shown(hub).fitted
    assert one.missed
    assert "outside the measured interval" in " ".join(shown(hub).sentences)
    assert "it misses the measured interval at" in client.get(PAGE).content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "target=1.5",
        "target=-0.1",
        "target=90",
        "target=nan",
        "target=inf",
        "target=1e999",
        "target=%00",
        "target=0.9.1",
        "labels=0",
        "labels=-3",
        "labels=2.5",
        "labels=100001",
        "labels=%D9%A3",
        "labels=9999999999999999999",
        "metric=taste",
        "heads=crystal_ball",
        "rows=0123",
    ],
)
def test_what_cannot_be_meant_is_said(hub: Any, client: Client, query: str) -> None:
    with pytest.raises(UserError):
        shown(hub, query)
    assert client.get(f"{PAGE}?{query}").status_code == 400
    assert client.get(f"/datasets/digits/fewshot/advice.json?{query}").status_code == 400


def test_two_numbers_of_labels_are_no_curve(hub: Any, client: Client) -> None:
    found = shown(hub)
    assert not found.fitted
    assert "needs scores at 3 or more different numbers of labels; there are 2" in found.sentences[0]
    assert found.target is None
    text = client.get(PAGE).content.decode()
    assert "No learning curve can be fitted here" in text
    assert "hs-chart" not in text
    twin = client.get("/datasets/digits/fewshot/advice.json").json()
    assert [one["expected"] for one in twin["curves"]] == [None] * 3


def test_without_any_evaluation(hub: Any, client: Client) -> None:
    Outcome.objects.all().delete()
    text = client.get(PAGE).content.decode()
    assert "hs-empty" in text
    assert "run the few-shot analysis" in text
    assert client.get("/datasets/digits/fewshot/advice.json").json()["curves"] == []
    assert client.get(f"{PAGE}chart.json").json()["layout"]["meta"]["empty"]
    assert client.get("/datasets/nothing/fewshot/advice/").status_code == 404


def test_heads_without_labels_are_held_against_the_curves(
    lawful: Any, hub: Any, measured: dict[str, Measured], curved: dict[str, KitOutcome], client: Client
) -> None:
    lawful({"pixels": power(0.95, 0.6, 0.7)}, error=0)
    found = on_law(curved["noise"], power(0.9, 0.5, 0.5))
    bare = Score(metric="accuracy", value=0.85, low=0.8, high=0.9, head="zero_shot", shots=None)
    stored(hub, "noise", dataclasses.replace(found, scores=(bare,)), measured)
    advice = shown(hub, "heads=nearest_class_mean,zero_shot")
    (said,) = advice.against_none
    assert f"{math.ceil((0.6 / 0.1) ** (1 / 0.7))} labels a class" in said
    text = client.get(f"{PAGE}?heads=nearest_class_mean,zero_shot").content.decode()
    assert "Against no labels at all" in text
    assert "reads no labels" in text


def test_page_chart_and_twin_agree(real: Any, client: Client) -> None:
    query = "labels=6&target=0.8"
    text = client.get(f"{PAGE}?{query}").content.decode()
    twin = client.get(f"/datasets/digits/fewshot/advice.json?{query}").json()
    assert twin["sentences"][0] in text.replace("&#x27;", "'")
    figure = client.get(f"{PAGE}chart.json?{query}").json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    rows = {(row[0], row[1]): row[2:] for row in figure["layout"]["meta"]["table"]["rows"]}
    for one, title in zip(twin["curves"], ("Pixels", "Noise"), strict=True):
        assert rows[title, 6][1:] == [one["expected"][part] for part in ("value", "low", "high")]
        for point in one["points"]:
            assert rows[title, point["k"]][0] == point["value"]
        assert one["expected"]["low"] < one["expected"]["value"] < one["expected"]["high"]
    heights = [shape["y0"] for shape in figure["layout"]["shapes"] if shape.get("xref") == "paper"]
    assert heights == [0.8]


def test_errors_of_other_metrics_are_taken_as_independent(real: Any, client: Client) -> None:
    found = shown(real, "metric=auroc")
    assert not found.has_draws
    assert all(one.fit is not None for one in found.advised)
    first, second = (one.fit.resampled.level for one in found.advised if one.fit is not None)
    assert not np.array_equal(first, second)
    assert "taken as independent" in client.get(f"{PAGE}?metric=auroc").content.decode()
    assert "resample by resample" in client.get(f"{PAGE}?metric=accuracy").content.decode()


@pytest.mark.parametrize(
    ("protocol", "words"),
    [("vtab", "labels in all"), ("percent", "percent of the labels"), ("ehrshot", "(200 in all)")],
)
def test_what_a_number_of_labels_counts(lawful: Any, protocol: str, words: str) -> None:
    hub = lawful({"pixels": power(0.95, 0.6, 0.7)})
    Outcome.objects.filter(kind="fewshot").update(provenance={"protocol": protocol})
    assert words in shown(hub, "labels=20").sentences[0]


def test_one_label() -> None:
    assert Unit(classes=3).counted(1) == "1 label a class (3 in all)"
    assert Unit(words="percent of the labels").counted(1) == "1 percent of the labels"


def test_queries_do_not_grow_with_the_curves(real: Any, client: Client, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(14):
        client.get(PAGE)
