"""The roll-ups of large catalogues: counts of facet values, a uniform random sample, the words of names.

Catalogues of up to `counting.SMALL` models have none but the words; there everything is counted when it is asked for.
"""

from __future__ import annotations

import time

from django.db import connection, transaction

from hubapp.catalog.entries import SearchRollupsSpec
from hubapp.catalog.models import FacetCount, Model, RollUp, SampledModel
from hubapp.catalog.search.counting import SMALL
from hubapp.catalog.search.near import words_refresh
from workers.kit import Context, Outcome

SAMPLE = 40_000
LOCK = 0x68736372  # of the advisory lock: one refresh at a time
KEEP_PLANS = "SET LOCAL max_parallel_workers_per_gather = 2; SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"
COUNT_KEYS = """
INSERT INTO catalog_facetcount (key, models_all, models_open)
SELECT key, count(*), count(*) FILTER (WHERE NOT is_restricted)
FROM catalog_model, unnest(facets) AS key WHERE archived_at IS NULL GROUP BY key
"""
SAMPLED = (
    "is_restricted, published_at, updated_at, created_at, title, parameters, size_bytes, downloads, likes, trending, "
    "documentation_points, facets, search"
)
# In random order, so that the first rows of any selection are a uniform sample of it.
DRAW_SAMPLE = f"""
INSERT INTO catalog_sampledmodel (model_id, {SAMPLED})
SELECT id, {SAMPLED} FROM catalog_model TABLESAMPLE BERNOULLI (%s) WHERE archived_at IS NULL ORDER BY random()
"""  # noqa: S608


def refresh() -> dict[str, float]:
    """Make the roll-ups anew, in one transaction, so that pages see the old ones until then; seconds of each part.

    To be called at the end of whatever changes many models. Small catalogues cost two short queries.
    """
    seconds = {}
    started = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        is_small = Model.objects.active().order_by()[: SMALL + 1].count() <= SMALL
        # Not TRUNCATE, which would keep pages waiting until the commit.
        cursor.execute("DELETE FROM catalog_sampledmodel; DELETE FROM catalog_facetcount; DELETE FROM catalog_rollup")
        if not is_small:
            cursor.execute(KEEP_PLANS)
            rollup = _count()
            seconds["counts"] = time.perf_counter() - started
            cursor.execute(DRAW_SAMPLE, [min(100.0, 100 * SAMPLE / rollup.models_all)])
            rollup.sample_share = cursor.rowcount / rollup.models_all
            rollup.save()
    seconds["sample"] = time.perf_counter() - started - seconds.get("counts", 0.0)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE catalog_sampledmodel, catalog_facetcount")
    begun = time.perf_counter()
    words_refresh()
    seconds["words"] = time.perf_counter() - begun
    return seconds


def _count() -> RollUp:
    with connection.cursor() as cursor:
        cursor.execute(COUNT_KEYS)
    # Every model has exactly one key of this facet.
    analysed = FacetCount.objects.filter(key__startswith="analysed=")
    totals = [(one.models_all, one.models_open) for one in analysed]
    return RollUp(models_all=sum(one for one, _ in totals), models_open=sum(one for _, one in totals))


def search_rollups_run(spec: SearchRollupsSpec, context: Context) -> Outcome:
    """The site job "search_rollups"."""
    context.checkpoint(0, 1, "Counting facet values")
    seconds = refresh()
    context.checkpoint(1, 1)
    held = RollUp.objects.order_by("-pk").first()
    return Outcome(
        summary={
            "models": held.models_all if held else Model.objects.active().count(),
            "sampled": SampledModel.objects.count(),
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
        }
    )
