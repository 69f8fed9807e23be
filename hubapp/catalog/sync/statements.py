"""The statements of a batch, over the staging table. They are made of this house's own column names only."""

from __future__ import annotations

from hubapp.catalog.sync.rows import COUNTERS, MODEL_COLUMNS, PASSING, STAGED

STAGE = "catalog_sync_stage"
# Read from files, card and headers, which say more than a record.
BETTER_WHEN_READ = ("safety", "documentation_level")
KEPT_WHEN_UNKNOWN = ("parameters", "size_bytes")

CREATE = f"""
CREATE TEMP TABLE IF NOT EXISTS {STAGE} ({", ".join(f"{name} {kind}" for name, kind in STAGED.items())},
    model_id bigint, is_own boolean, is_whole boolean, action text, reason text) ON COMMIT DELETE ROWS
"""
EMPTY = f"TRUNCATE {STAGE}"  # inside a larger transaction nothing has emptied it
# The stage is small and the catalogue large: a plan that reads the whole catalogue is never right.
# Nor has a table that was filled a moment ago any statistics yet.
SETTINGS = """SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off;
SET LOCAL work_mem = '64MB'"""
COPY = f"COPY {STAGE} ({', '.join(STAGED)}) FROM STDIN"
COUNTS = f"SELECT action, count(*) FROM {STAGE} GROUP BY action"
NAMES = f"SELECT slug, action FROM {STAGE} WHERE action IN ('add', 'replace', 'change') ORDER BY position"
REFUSED = f"SELECT position, slug, reason, left(record::text, 500) FROM {STAGE} WHERE action = 'refuse'"
MATCH_BY_ID = f"""
UPDATE {STAGE} s SET model_id = m.id FROM catalog_model m
WHERE s.hub_id <> '' AND m.hub_id = s.hub_id AND m.hub_id <> '' -- said twice: the index holds such rows only
"""
MATCH_BY_NAME = f"""
UPDATE {STAGE} s SET model_id = m.id FROM catalog_model m WHERE s.model_id IS NULL AND m.slug = s.slug
"""
# is_own: the source that brought the model. is_whole: its record replaces what was known; one of another source, or of
# the commit whose files and card were read here, only adds to it.
# A name that was registered again belongs to another model; a model of this machine keeps its name.
DECIDE = f"""
UPDATE {STAGE} s SET (action, reason, is_own, is_whole) = (
    SELECT CASE
        WHEN s.model_id IS NULL THEN 'add'
        WHEN m.slug <> s.slug AND EXISTS (SELECT 1 FROM catalog_model o WHERE o.slug = s.slug AND o.id <> m.id)
            THEN 'refuse'
        WHEN f.kind NOT IN ('hub', 'dump') AND NOT EXISTS (
            SELECT 1 FROM catalog_revision v WHERE v.model_id = m.id AND v.commit <> '') THEN 'refuse'
        WHEN m.hub_id <> '' AND s.hub_id <> '' AND m.hub_id <> s.hub_id THEN 'replace'
        WHEN m.source_id <> %(source)s AND r.model_id IS NOT NULL AND (s.updated_at < m.updated_at
            OR r.record @> (s.record - ARRAY[{", ".join(f"'{name}'" for name in PASSING)}])) THEN 'same'
        WHEN r.digest IS DISTINCT FROM s.digest OR m.is_missing OR m.slug <> s.slug
            OR m.is_restricted <> s.is_restricted THEN 'change'
        WHEN (m.downloads, m.likes, m.trending) IS DISTINCT FROM (s.downloads, s.likes, s.trending) THEN 'count'
        ELSE 'same' END,
        CASE
        WHEN m.slug <> s.slug THEN 'It was renamed to a name that another model here has.'
        ELSE 'The name belongs to a model of ' || f.title || '. Rename that file or folder.' END,
        m.source_id IS NULL OR m.source_id = %(source)s,
        m.source_id IS NULL OR (m.source_id = %(source)s AND (m.refreshed_at IS NULL OR m.sha <> s.sha))
    FROM (SELECT 1) one
    LEFT JOIN catalog_model m ON m.id = s.model_id
    LEFT JOIN catalog_record r ON r.model_id = m.id
    LEFT JOIN catalog_source f ON f.id = m.source_id)
"""
RETIRE = f"""
UPDATE catalog_model m SET slug = m.slug || '~' || m.hub_id, title = m.title || ' (earlier model of this name)',
    is_missing = true, archived_at = coalesce(m.archived_at, %(now)s)
FROM {STAGE} s WHERE s.action = 'replace' AND m.id = s.model_id
"""
_LOCAL = {
    "meaning": "''",
    "origin": "''",
    "origin_url": "''",
    "is_control": "false",
    "is_missing": "false",
    "is_analysed": "false",
    "created_at": "%(now)s",
    "source_id": "%(source)s",
}
_DEFAULTED = {name: f"coalesce(s.{name}, %(now)s)" for name in ("published_at", "updated_at")}
_COPIED = ["title", *MODEL_COLUMNS, *COUNTERS]
INSERT = f"""
SET LOCAL enable_hashjoin = on;
WITH new AS (
    INSERT INTO catalog_model ({", ".join([*_COPIED, *_LOCAL])})
    SELECT {", ".join([*(_DEFAULTED.get(name, f"s.{name}") for name in _COPIED), *_LOCAL.values()])}
    FROM {STAGE} s WHERE s.action IN ('add', 'replace') ORDER BY s.position
    RETURNING id, slug)
UPDATE {STAGE} s SET model_id = new.id FROM new WHERE new.slug = s.slug;
SET LOCAL enable_hashjoin = off
"""


def _assignment(name: str, kind: str) -> str:
    """How a changed record sets a column: whole, or only where it says something (see `is_whole`)."""
    if name == "modality":  # how a model is run says it better than its task
        return (
            "modality = coalesce((SELECT nullif(v.modality, '') FROM catalog_revision v "
            "WHERE v.id = m.current_revision_id), CASE WHEN s.is_whole OR s.modality <> '' THEN s.modality "
            "ELSE m.modality END)"
        )
    if name in BETTER_WHEN_READ:
        return f"{name} = CASE WHEN m.refreshed_at IS NULL THEN s.{name} ELSE m.{name} END"
    if name in KEPT_WHEN_UNKNOWN or kind == "timestamptz":
        return f"{name} = coalesce(s.{name}, m.{name})"
    if kind == "boolean":
        return f"{name} = s.{name}"
    empty = "'{}'" if kind == "text[]" else "''"
    return f"{name} = CASE WHEN s.is_whole OR s.{name} <> {empty} THEN s.{name} ELSE m.{name} END"


UPDATE = f"""
UPDATE catalog_model m SET {", ".join(_assignment(name, kind) for name, kind in MODEL_COLUMNS.items())},
    title = CASE WHEN m.title = m.slug THEN s.title ELSE m.title END,
    archived_at = CASE WHEN m.is_missing THEN NULL ELSE m.archived_at END,
    is_missing = false,
    refresh_requested_at = CASE WHEN m.refreshed_at IS NOT NULL AND s.sha <> m.sha THEN %(now)s
        ELSE m.refresh_requested_at END
FROM {STAGE} s WHERE s.action = 'change' AND m.id = s.model_id
"""
COUNT = f"""
UPDATE catalog_model m SET {", ".join(f"{name} = coalesce(s.{name}, m.{name})" for name in COUNTERS)}
FROM {STAGE} s WHERE s.action IN ('change', 'count') AND m.id = s.model_id
    AND (m.downloads, m.likes, m.trending) IS DISTINCT FROM (s.downloads, s.likes, s.trending)
"""
RECORD_UPDATE = f"""
UPDATE catalog_record r SET record = CASE WHEN s.is_whole THEN s.record ELSE r.record || s.record END,
    digest = CASE WHEN s.is_own THEN s.digest ELSE r.digest END
FROM {STAGE} s WHERE s.action IN ('change', 'count') AND r.model_id = s.model_id
"""
RECORD_INSERT = f"""
INSERT INTO catalog_record (model_id, record, digest)
SELECT s.model_id, s.record, s.digest FROM {STAGE} s WHERE s.action IN ('add', 'replace', 'change')
ON CONFLICT (model_id) DO NOTHING
"""
FORGET_LINKS = f"""
WITH gone AS (
    DELETE FROM catalog_baselink b USING {STAGE} s
    WHERE s.action = 'change' AND s.is_whole AND b.child_id = s.model_id AND NOT b.base_name = ANY (s.base_names))
DELETE FROM catalog_paperlink l USING {STAGE} s, catalog_paper p
WHERE s.action = 'change' AND s.is_whole AND l.model_id = s.model_id AND p.id = l.paper_id
    AND NOT p.arxiv_id = ANY (s.papers)
"""
BASES = f"""
INSERT INTO catalog_baselink (child_id, base_name, relation)
SELECT s.model_id, b.name, b.relation FROM {STAGE} s, unnest(s.base_names, s.base_relations) AS b(name, relation)
WHERE s.action IN ('add', 'replace', 'change')
ON CONFLICT (child_id, base_name) DO UPDATE SET relation = excluded.relation
    WHERE catalog_baselink.relation <> excluded.relation
"""
PAPERS = f"""
INSERT INTO catalog_paper (arxiv_id, title)
SELECT DISTINCT p.arxiv_id, '' FROM {STAGE} s, unnest(s.papers) AS p(arxiv_id)
WHERE s.action IN ('add', 'replace', 'change')
    AND NOT EXISTS (SELECT 1 FROM catalog_paper k WHERE k.arxiv_id = p.arxiv_id)
ORDER BY p.arxiv_id
ON CONFLICT (arxiv_id) DO NOTHING
"""
PAPER_LINKS = f"""
INSERT INTO catalog_paperlink (model_id, paper_id)
SELECT s.model_id, k.id FROM {STAGE} s, unnest(s.papers) AS p(arxiv_id) JOIN catalog_paper k ON k.arxiv_id = p.arxiv_id
WHERE s.action IN ('add', 'replace', 'change')
ON CONFLICT (model_id, paper_id) DO NOTHING
"""
# A day without a row is a day without a change; a model that nobody wants yet has none.
POPULARITY = f"""
INSERT INTO catalog_popularity (model_id, day, downloads, likes, trending)
SELECT s.model_id, %(day)s, s.downloads, s.likes, s.trending FROM {STAGE} s
WHERE s.action IN ('add', 'replace', 'change', 'count')
    AND (coalesce(s.downloads, 0) > 0 OR coalesce(s.likes, 0) > 0 OR s.action IN ('change', 'count'))
    AND (s.action IN ('add', 'replace') OR NOT EXISTS (
        SELECT 1 FROM (SELECT p.downloads, p.likes, p.trending FROM catalog_popularity p
            WHERE p.model_id = s.model_id ORDER BY p.day DESC LIMIT 1) last
        WHERE (last.downloads, last.likes, last.trending) IS NOT DISTINCT FROM (s.downloads, s.likes, s.trending)))
ON CONFLICT (model_id, day) DO UPDATE SET downloads = excluded.downloads, likes = excluded.likes,
    trending = excluded.trending
"""
SIGHTINGS = f"""
INSERT INTO catalog_sighting (run_id, model_id)
SELECT %(run)s, s.model_id FROM {STAGE} s WHERE s.action <> 'refuse' AND s.model_id IS NOT NULL
ON CONFLICT (run_id, model_id) DO NOTHING
"""
# Here both sides are large, and a table that was just filled has no statistics.
HASH = "SET LOCAL enable_nestloop = off"
REMOVED = """
WITH gone AS (
    UPDATE catalog_model m SET is_missing = true, archived_at = coalesce(m.archived_at, %(now)s)
    WHERE m.source_id = %(source)s AND NOT m.is_missing
        AND NOT EXISTS (SELECT 1 FROM catalog_sighting g WHERE g.run_id = %(run)s AND g.model_id = m.id)
    RETURNING m.slug)
SELECT count(*), (SELECT array_agg(slug) FROM (SELECT slug FROM gone ORDER BY slug LIMIT %(most)s) first) FROM gone
"""
