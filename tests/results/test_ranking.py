"""Rankings and comparisons: order, places, what cannot be told apart, and what was not run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.core.cache import cache

from hubapp.results.comparison import comparison_of
from hubapp.results.pairing import Scored, fewshot_predictions, pairs_of
from hubapp.results.ranking import Ranking, ranking_of
from hubapp.results.selectors import ranking_columns, score_of
from workers.kit import UserError


@pytest.mark.parametrize("by", ["knn", "logme", "regularised_h_score", "accuracy@8", "accuracy@all"])
def test_noise_comes_last_and_is_separable_by_every_column(hub: Any, by: str) -> None:
    ranking = ranking_of(hub.dataset, by=by)
    scored = [place for place in ranking.places if by in place.scores]
    assert scored[-1].model.slug == "noise"
    assert (scored[-1].best, scored[-1].worst) == (3, 3)
    assert scored[-1].not_separable == ()


def test_models_of_equal_strength_are_not_separable(hub: Any) -> None:
    ranking = ranking_of(hub.dataset, by="accuracy@8")
    first = ranking.places[0]
    assert (first.best, first.worst) == (1, 2)
    assert set(first.not_separable) == {"pixels", "copies"} - {first.model.slug}
    assert "not separable from" in ranking.sentence


def test_what_was_not_run_has_no_score_and_what_cannot_run_says_why(hub: Any) -> None:
    ranking = ranking_of(hub.dataset, by="knn")
    assert ranking.places[-1].model.slug == "new"
    assert ranking.places[-1].scores == {}
    assert ranking.places[-1].best is None
    assert [place.model.slug for place in ranking.left_out] == ["weights-only"]
    assert "weights only" in ranking.left_out[0].reason


def told_apart(ranking: Ranking) -> list[tuple[object, ...]]:
    return [
        (place.model.slug, place.best, place.worst, place.not_separable, place.scores.get(ranking.by.key))
        for place in ranking.places
    ]


def test_the_second_look_reads_the_same_pairs_from_the_cache(hub: Any) -> None:
    first = ranking_of(hub.dataset, by="accuracy@all")
    assert told_apart(first) == told_apart(ranking_of(hub.dataset, by="accuracy@all"))
    assert "Holm over 3 pairs" in first.pairs_kind


def test_a_ranking_outlives_redis(hub: Any, settings: Any) -> None:
    expected = ranking_of(hub.dataset, by="knn")
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "unix:///nowhere/redis.sock"}
    }
    assert told_apart(ranking_of(hub.dataset, by="knn")) == told_apart(expected)


def test_an_unknown_column_is_a_sentence(hub: Any) -> None:
    with pytest.raises(UserError, match="There is no column 'beauty'"):
        ranking_of(hub.dataset, by="beauty")


def test_queries_do_not_grow_with_the_models(hub: Any, django_assert_max_num_queries: Any) -> None:
    ranking_of(hub.dataset, by="knn")
    with django_assert_max_num_queries(14):
        ranking_of(hub.dataset, by="knn")


def test_predictions_are_those_that_were_scored(hub: Any) -> None:
    outcome = hub.outcomes["pixels", "fewshot"]
    found = fewshot_predictions(outcome, head="logistic", shots=8)
    assert found is not None
    accuracy = (found.logits.argmax(-1) == found.labels).mean(axis=1)
    score = next(s for s in outcome.scores.all() if (s.metric, s.head, s.shots) == ("accuracy", "logistic", 8))
    assert list(accuracy) == pytest.approx(score.replicates)
    assert fewshot_predictions(outcome, head="nothing", shots=8) is None


def test_comparison_says_what_is_better(hub: Any) -> None:
    comparison = comparison_of(["noise", "pixels"])
    assert [model.slug for model in comparison.models] == ["noise", "pixels"]
    rows = {row.column.key: row for row in comparison.datasets[0].rows}
    assert rows["knn"].best == ("pixels",)
    assert "separable from the rest" in rows["knn"].sentence
    together = comparison_of(["pixels", "copies"]).datasets[0].rows
    assert "Not separable." in [row.sentence for row in together]


@pytest.mark.parametrize(
    ("slugs", "sentence"),
    [(["pixels"], "Choose 2 to 6"), (["pixels", "nobody"], "no model 'nobody'"), (list("abcdefg"), "Choose 2 to 6")],
)
def test_wrong_choices_are_sentences(hub: Any, slugs: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        comparison_of(slugs)


def test_a_control_among_the_leaders_is_a_warning(hub: Any) -> None:
    assert "untrained" not in ranking_of(hub.dataset, by="accuracy@8").sentence
    type(hub.models["copies"]).objects.filter(slug="copies").update(is_control=True)
    assert "An untrained net does as well" in ranking_of(hub.dataset, by="accuracy@8").sentence
    type(hub.models["copies"]).objects.update(is_control=False)
    type(hub.models["noise"]).objects.filter(slug="noise").update(is_control=True)
    assert "untrained" not in ranking_of(hub.dataset, by="accuracy@8").sentence


def test_what_saw_other_shots_or_halves_is_ranked_but_not_compared(hub: Any, measured: Any) -> None:
    halves = hub.outcomes["copies", "transferability"]
    halves.provenance["seed"] = 99
    halves.save()
    artifact = hub.outcomes["copies", "fewshot"].artifacts.get(name="predictions.npz")
    path = settings.FILES_DIR / artifact.location
    with np.load(path) as arrays:
        fewer = {name: array[:2] if "k8." in name else array for name, array in arrays.items()}  # of three replicates
    path.unlink()
    with path.open("wb") as file:
        np.savez(file, **fewer)
    for by in ("knn", "accuracy@8"):
        ranking = ranking_of(hub.dataset, by=by)
        assert ranking.pairs_kind == ""
        assert [place.best for place in ranking.places] == [None] * len(ranking.places)
        assert by in ranking.places[0].scores
        assert "nothing says how surely" in ranking.sentence
    assert "Holm" in ranking_of(hub.dataset, by="accuracy@all").pairs_kind


def test_groups_of_test_rows_are_drawn_whole(hub: Any) -> None:
    before = pairs_on(hub)
    for name in ("pixels", "copies", "noise"):
        path = settings.FILES_DIR / hub.outcomes[name, "fewshot"].artifacts.get(name="predictions.npz").location
        with np.load(path) as arrays:
            kept = dict(arrays)
        kept["test_groups"] = np.arange(len(kept["test_row_ids"])) // 10
        path.unlink()
        with path.open("wb") as file:
            np.savez(file, **kept)
    found = fewshot_predictions(hub.outcomes["pixels", "fewshot"], head="logistic", shots=8)
    assert found is not None
    assert found.groups is not None
    cache.clear()
    after = pairs_on(hub)
    names = ("pixels", "copies")
    assert after[names].difference == before[names].difference
    assert after[names].standard_error != before[names].standard_error


def pairs_on(hub: Any) -> Any:
    column = next(one for one in ranking_columns() if one.key == "accuracy@all")
    scored = [
        Scored(slug=name, title=name, score=score)
        for name in ("pixels", "copies", "noise")
        if (score := score_of([hub.outcomes[name, "fewshot"]], column)) is not None
    ]
    return pairs_of(scored, column=column).differences
