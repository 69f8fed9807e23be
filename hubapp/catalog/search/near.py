"""Words that come near: what forgives typos without any extension of the database.

Each word of a name is kept with the words that arise when up to two letters of its beginning are deleted (the symmetric
deletes of SymSpell); a word of a search that nothing says is compared with those that share such a deletion.
"""

from __future__ import annotations

import difflib
from itertools import combinations

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from rapidfuzz.distance import OSA

from hubapp.catalog.models import Model, SampledModel, Word
from hubapp.catalog.search.matching import TextQuery, visible, words_of
from hubapp.catalog.search.reading import Person

SHORTEST = 3
LONGEST = 40
BEGINNING = 7  # letters of a word that are deleted from; any two words within the distance share a deletion of those
SHORT = 5  # up to here one wrong letter is forgiven, beyond two
RARE_FROM = 20_000  # with more models than this, a word counts if two names have it or a used model does
USED = 10  # downloads
MOST_CANDIDATES = 5_000
LOCK = 0x776F7264  # of the advisory lock: one refresh at a time
# Lexemes of weight A are those of names. Restricted models give none: a suggestion would give their names away.
FIND_WORDS = """
CREATE TEMPORARY TABLE found_word ON COMMIT DROP AS
SELECT word, ndoc AS uses FROM ts_stat($$
    SELECT search FROM catalog_model WHERE archived_at IS NULL AND NOT is_restricted
$$, 'a') WHERE char_length(word) BETWEEN %(shortest)s AND %(longest)s AND word ~ '[[:alpha:]]'
"""
FIND_USED_WORDS = """
CREATE TEMPORARY TABLE used_word ON COMMIT DROP AS
SELECT word FROM ts_stat($$
    SELECT search FROM catalog_model WHERE archived_at IS NULL AND NOT is_restricted AND downloads >= {used}
$$, 'a')
"""
DROP_RARE = "DELETE FROM found_word AS f WHERE uses < 2 AND NOT EXISTS (SELECT FROM used_word u WHERE u.word = f.word)"


def deletions(word: str) -> list[str]:
    """The beginning of a word, and what is left of it without one letter (of longer words: without two)."""
    start = word[:BEGINNING]
    found = {start}
    for size in range(1, distance_of(word) + 1):
        found.update(
            "".join(letter for at, letter in enumerate(start) if at not in gone)
            for gone in combinations(range(len(start)), size)
        )
    return sorted(found)


def distance_of(word: str) -> int:
    """How many wrong, missing, spare or swapped letters are forgiven."""
    return 1 if len(word) <= SHORT else 2


def words_refresh() -> int:
    """Bring the words in line with the names of models that anybody may see; the number of words that are new."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("SET LOCAL work_mem = '64MB'; SET LOCAL jit = off")
        cursor.execute("DROP TABLE IF EXISTS found_word, used_word")
        cursor.execute(FIND_WORDS, {"shortest": SHORTEST, "longest": LONGEST})
        if Model.objects.order_by()[: RARE_FROM + 1].count() > RARE_FROM:
            cursor.execute(FIND_USED_WORDS.format(used=USED))
            cursor.execute("CREATE INDEX ON used_word (word)")
            cursor.execute(DROP_RARE)
        cursor.execute("CREATE INDEX ON found_word (word)")
        cursor.execute("ANALYZE found_word")
        cursor.execute("DELETE FROM catalog_word w WHERE NOT EXISTS (SELECT FROM found_word f WHERE f.word = w.word)")
        cursor.execute(
            "UPDATE catalog_word w SET uses = f.uses FROM found_word f WHERE f.word = w.word AND f.uses <> w.uses"
        )
        cursor.execute(
            "SELECT f.word, f.uses FROM found_word f"
            " WHERE NOT EXISTS (SELECT FROM catalog_word w WHERE w.word = f.word)"
        )
        new = cursor.fetchall()
        with cursor.copy("COPY catalog_word (word, uses, deletes) FROM STDIN") as copy:
            for word, uses in new:
                copy.write_row((word, uses, deletions(word)))
    return len(new)


def near_words(word: str) -> list[str]:
    """Words of names that come near, the nearest and most used first; without the word itself."""
    if len(word) < SHORTEST:
        return []
    rows = Word.objects.filter(deletes__overlap=deletions(word)).exclude(word=word).order_by("-uses")
    furthest = distance_of(word)
    near = []
    for candidate, uses in rows.values_list("word", "uses")[:MOST_CANDIDATES]:
        distance = OSA.distance(word, candidate, score_cutoff=furthest)
        if distance <= furthest and distance < len(candidate):
            near.append((distance, -uses, candidate))
    return [candidate for *_, candidate in sorted(near)]


def unknown_words(words: tuple[str, ...], user: Person) -> list[str]:
    """Those of the words that no model says, or none that this person may know of."""
    unknown = []
    for word in words:
        condition = Q(search__matches=TextQuery((word,)))
        # What is frequent is in the sample, where it is found at once.
        if not SampledModel.objects.filter(condition, visible(user)).exists() and not _says((word,), user).exists():
            unknown.append(word)
    return unknown


def near_models(name: str, user: Person, *, most: int = 3) -> list[str]:
    """Slugs of models whose names resemble one that is not here."""
    words = words_of(name)
    missing = set(unknown_words(words, user))
    known = tuple(near[0] if (near := near_words(word)) else word for word in words if word in missing)
    kept = tuple(word for word in words if word not in missing)
    slugs: dict[str, None] = {}
    for attempt in ((*kept, *known), kept, *((word,) for word in sorted((*kept, *known), key=len, reverse=True)[:2])):
        if attempt and len(slugs) < most:
            slugs |= dict.fromkeys(_says(attempt, user).values_list("slug", flat=True)[:200])
    return difflib.get_close_matches(name, list(slugs), n=most, cutoff=0.5) or list(slugs)[:most]


def _says(words: tuple[str, ...], user: Person) -> QuerySet[Model]:
    return Model.objects.filter(Q(search__matches=TextQuery(words)), visible(user), archived_at__isnull=True).order_by()
