from __future__ import annotations

import csv
import gzip
import json
import re
import timeit
from collections import Counter
from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression

from hubapp.catalog.licences import (
    FAMILIES,
    USES,
    chain_verdict,
    licence_changes,
    licence_conflict,
    licence_normalise,
    licence_table,
    use_verdict,
)
from hubapp.catalog.licences.normalising import _spelling

HUB = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "hub"
real_records = pytest.mark.skipif(not HUB.exists(), reason="the real records are not here")


def _of(stated: object):
    return licence_normalise(stated)


# --- the table ---------------------------------------------------------------------------------------------------


def test_spdx_identifiers_of_the_table_are_those_of_the_spdx_list():
    for row in licence_table().values():
        if row.is_spdx:
            assert canonicalize_license_expression(row.id) == row.id
        else:
            with pytest.raises(ValueError):
                canonicalize_license_expression(row.id)


def test_every_row_has_a_family_a_source_and_names_only_licences_of_the_table():
    table = licence_table()
    for row in table.values():
        assert row.family in FAMILIES.keys() - {""}
        assert row.source.startswith("https://")
        assert row.accepts <= table.keys()
        assert (row.family == "non-commercial") <= (row.commercial == "no")
        assert (row.family == "no-derivatives") <= (row.modification == "no")
        assert (row.family in {"copyleft", "weak-copyleft", "network-copyleft", "share-alike"}) <= (
            row.same_licence == "yes"
        )
        assert (row.family in {"public-domain", "permissive"}) <= (
            row.commercial == "yes" and row.use_restrictions == "no" and row.same_licence == "no"
        )


def test_no_spelling_means_two_licences():
    owners: dict[str, set[str]] = {}
    for row in licence_table().values():
        for text in (row.id, row.hub, row.title, *row.aliases):
            if text and not text.startswith("http"):
                owners.setdefault(_spelling(text), set()).add(row.id)
    assert {spelling: ids for spelling, ids in owners.items() if len(ids) > 1} == {}


@real_records
def test_every_identifier_of_the_hub_has_a_row_and_is_recognised_by_its_full_name_too():
    with (HUB / "hubdocs" / "licenses.csv").open() as lines:
        for row in csv.DictReader(lines):
            licence = _of(row["identifier"])
            assert licence.id in licence_table()
            assert licence_table()[licence.id].hub == row["identifier"]
            full_name = row["full_name"].replace("\\", "").replace("–", "-")
            assert _of(full_name).id == licence.id, full_name


# --- one name ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("apache 2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("Apache_2", "Apache-2.0"),
        ("  MIT License\n", "MIT"),
        ("The MIT Licence", "MIT"),
        ("license:mit", "MIT"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("GPLv3", "GPL-3.0-only"),
        ("GNU General Public License v3.0 or later", "GPL-3.0-or-later"),
        ("agpl-3.0", "AGPL-3.0-only"),
        ("CC BY-NC 4.0", "CC-BY-NC-4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International", "CC-BY-NC-SA-4.0"),
        ("bsd 3 clause", "BSD-3-Clause"),
        ("odbl", "ODbL-1.0"),
        ("openrail++", "openrail++"),
        ("openrail", "openrail"),
        ("Llama 2 Community License Agreement", "llama2"),
        ("llama3.1", "llama3.1"),
        ("yi-license (other)", "yi-license"),
        ("https://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0"),
        ("https://creativecommons.org/licenses/by-nc/4.0/deed.de", "CC-BY-NC-4.0"),
        ("http://spdx.org/licenses/MIT", "MIT"),
        ("Beerware", "Beerware"),
        (["mit"], "MIT"),
        (["mit", "mit"], "MIT"),
        (["mit", "apache-2.0"], "Apache-2.0 AND MIT"),
        ("mit or apache-2.0", "Apache-2.0 AND MIT"),
        ("other", "other"),
        ("my own licence of 2024", "other"),
        ("unknown", "unknown"),
        (None, ""),
        ("", ""),
        ([], ""),
        ([None], ""),
    ],
)
def test_spellings_have_one_name(stated, expected):
    licence = _of(stated)
    assert licence.id == expected
    assert licence.is_known == (expected not in {"other", "unknown", ""})


def test_name_and_link_count_where_the_licence_is_other():
    link = "https://huggingface.co/x/y/blob/main/LICENSE"
    assert licence_normalise("other", name="tongyi-qianwen-research", link=link).id == "tongyi-qianwen-research"
    assert licence_normalise("other", link="https://ai.google.dev/gemma/terms").id == "gemma"
    assert licence_normalise(None, name="llama-3").id == "llama3"
    assert licence_normalise("mit", name="yi-license", link="LICENSE").id == "MIT"
    named = licence_normalise("other", name="acme-licence", link="LICENSE")
    assert (named.id, named.title, named.is_known) == ("other", "acme-licence", False)


def test_spdx_is_empty_where_there_is_no_identifier_and_several_take_the_strictest_family():
    assert _of("llama2").spdx == ""
    assert _of("mit").spdx == "MIT"
    several = _of(["mit", "cc-by-nc-4.0", "apache-2.0"])
    assert several.spdx == "Apache-2.0 AND CC-BY-NC-4.0 AND MIT"
    assert several.family == "non-commercial"
    assert _of(["mit", "llama2"]).spdx == ""


@pytest.mark.parametrize(
    "hostile",
    [
        {"a": 1},
        7,
        True,
        3.5,
        b"mit",
        "x" * 1_000_000,
        ["x" * 1_000_000] * 1_000,
        "(" * 5_000,
        " AND ".join(["mit"] * 1_000),
        "mit\x00",
        "<script>alert(1)</script>",
        "LicenseRef-" + "a" * 500,
        [[["mit"]]],
        {"mit"},
        "\ud800",
        ",;|&" * 100,
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_hostile_statements_are_named_and_never_raise(hostile):
    licence = licence_normalise(hostile, name="n" * 100_000, link="http://" + "/" * 100_000)
    assert licence.id
    assert len(licence.stated) < 4_000
    assert licence.stated.isprintable()
    for use in USES:
        use_verdict(licence, use)


def test_a_known_statement_is_answered_from_the_cache_in_less_than_two_microseconds():
    licence_normalise("apache-2.0")
    best = min(timeit.repeat(lambda: licence_normalise("apache-2.0"), number=10_000, repeat=7)) / 10_000
    assert best < 2e-6


# --- uses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "answers"),
    [  # commercial, redistribution, modification, research
        ("mit", ("allowed", "allowed", "allowed", "allowed")),
        ("cc0-1.0", ("allowed", "allowed", "allowed", "allowed")),
        ("gpl-3.0", ("allowed", "with conditions", "with conditions", "allowed")),
        ("cc-by-sa-4.0", ("allowed", "with conditions", "with conditions", "allowed")),
        ("cc-by-nc-4.0", ("not allowed", "with conditions", "with conditions", "allowed")),
        ("cc-by-nc-nd-4.0", ("not allowed", "with conditions", "not allowed", "allowed")),
        ("cc-by-nd-4.0", ("allowed", "with conditions", "not allowed", "allowed")),
        ("creativeml-openrail-m", ("with conditions", "with conditions", "with conditions", "allowed")),
        ("llama2", ("with conditions", "with conditions", "with conditions", "allowed")),
        ("h-research", ("not allowed", "unknown", "unknown", "allowed")),
        ("cc", ("unknown",) * 4),
        ("other", ("unknown",) * 4),
        ("unknown", ("unknown",) * 4),
        ("Beerware", ("unknown",) * 4),
        (None, ("unknown",) * 4),
        (["mit", "cc-by-nc-4.0"], ("not allowed", "with conditions", "with conditions", "allowed")),
        (["mit", "other"], ("unknown",) * 4),
    ],
)
def test_what_licences_allow(stated, answers):
    verdicts = [use_verdict(_of(stated), use) for use in USES]
    assert tuple(verdict.answer for verdict in verdicts) == answers
    assert all(verdict.sentence.endswith(".") for verdict in verdicts)


def test_sentences_say_what_to_keep():
    assert "notices and names stay" in use_verdict(_of("mit"), "redistribution").sentence
    assert "carry the same licence" in use_verdict(_of("gpl-3.0"), "modification").sentence
    assert "700 million" in use_verdict(_of("llama3"), "commercial").sentence


def test_a_use_that_is_none_is_refused():
    with pytest.raises(ValueError, match="commercial"):
        use_verdict(_of("mit"), "resale")


# --- chains ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "derivative", "kind"),
    [
        ("mit", "apache-2.0", None),
        ("mit", "cc-by-nc-4.0", None),
        ("apache-2.0", None, None),
        ("cc-by-sa-4.0", "mit", "same licence"),
        ("cc-by-sa-3.0", "cc-by-sa-4.0", None),
        ("cc-by-sa-4.0", "cc-by-sa-3.0", "same licence"),
        ("cc-by-sa-4.0", "gpl-3.0", None),
        ("gpl-3.0", "agpl-3.0", None),
        ("gpl-2.0", "gpl-3.0", "same licence"),
        ("gpl-3.0", "mit", "same licence"),
        ("cc-by-nc-4.0", "apache-2.0", "non-commercial"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", None),
        ("cc-by-nc-sa-4.0", "llama2", "non-commercial"),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", "no derivatives"),
        ("creativeml-openrail-m", "mit", "use restrictions"),
        ("creativeml-openrail-m", "openrail++", None),
        ("llama2", "apache-2.0", "same licence"),
        ("llama2", "llama2", None),
        ("llama2", "other", None),
        ("other", "mit", None),
        (None, "mit", None),
        (["mit", "cc-by-nc-4.0"], "mit", "non-commercial"),
    ],
)
def test_what_a_base_leaves_room_for(base, derivative, kind):
    found = licence_conflict(_of(base), _of(derivative), base="org/base")
    assert (found and found.kind) == kind
    if found:
        assert "org/base" in found.sentence


def test_the_strictest_link_decides_and_an_unknown_one_leaves_it_unknown():
    free, strict = ("a/free", _of("mit"), "finetune"), ("b/strict", _of("cc-by-nc-4.0"), "merge")
    assert chain_verdict([free], _of("apache-2.0"), "commercial").answer == "allowed"
    assert chain_verdict([free, strict], _of("apache-2.0"), "commercial").answer == "not allowed"
    assert chain_verdict([free, ("c", _of(None), "")], _of("mit"), "commercial").answer == "unknown"
    assert chain_verdict([free], _of("other"), "commercial").answer == "unknown"
    # What is forbidden stays forbidden, whatever the unknown part says.
    assert chain_verdict([strict, ("c", _of(None), "")], _of("mit"), "commercial").answer == "not allowed"
    assert chain_verdict([("d", _of("llama2"), "adapter")], _of("llama2"), "commercial").answer == "with conditions"


def test_a_chain_has_a_sentence_for_each_link_and_names_its_conflicts():
    verdict = chain_verdict([("b/strict", _of("cc-by-nc-4.0"), "merge")], _of("mit"), "research")
    assert len(verdict.sentences) == 2
    assert verdict.sentences[1].startswith("b/strict (merge): ")
    assert [conflict.kind for conflict in verdict.conflicts] == ["non-commercial"]
    assert verdict.answer == "allowed"


def test_duties_on_names_and_missing_licences_are_notes():
    base = ("meta-llama/Meta-Llama-3-8B", _of("llama3"), "finetune")
    assert chain_verdict([base], _of("llama3"), "research", name="me/Llama-3-poet").notes == ()
    assert "begin with" in chain_verdict([base], _of("llama3"), "research", name="me/poet").notes[0]
    assert chain_verdict([base], _of("llama3"), "research").notes == ()
    assert "states no licence" in chain_verdict([base], _of(None), "research").notes[0]


# --- real records ------------------------------------------------------------------------------------------------


@real_records
def test_every_licence_of_july_2024_is_normalised_and_most_are_known():
    stated = known = spdx = 0
    for name in ("models_2024-07", "models_2024-07_tail"):
        with gzip.open(HUB / "stalnaker_2024-07" / f"{name}.ndjson.gz", "rt") as lines:
            for line in lines:
                tags = re.findall(r'"license:([^"]*)"', line)
                if not tags:
                    continue
                licence = licence_normalise(tags)
                stated += 1
                known += licence.is_known
                spdx += bool(licence.spdx)
    assert stated > 80_000
    assert known / stated > 0.89  # the rest says "other", "unknown" or "cc"
    assert spdx / stated > 0.66


@real_records
def test_nearly_half_of_the_licences_called_other_are_told_by_their_name_or_link():
    others, named, told = 0, 0, 0
    with gzip.open(HUB / "stalnaker_2024-07" / "models_full_2024-07.ndjson.gz", "rt") as lines:
        for line in lines:
            card = json.loads(line).get("cardData") or {}
            name, link = card.get("license_name") or "", card.get("license_link") or ""
            licence = licence_normalise(card.get("license"), name=name, link=link)
            if card.get("license") == "other":
                others += 1
                named += bool(name or link)
                told += licence.is_known
    assert told / others > 0.4
    assert told / named > 0.9


def _chains():
    with gzip.open(HUB / "stalnaker_2024-07" / "license_chains_2024-07.json.gz") as file:
        for chain in json.load(file):
            links = [
                (str(link["model"]), licence_normalise([part for part in link["license"] if part != "UNKNOWN"]))
                for link in chain["chain"]
            ]
            yield set(chain["tags"]), links


@real_records
def test_real_chains_change_where_their_annotation_says_so_and_conflict_only_there():
    counts: Counter[str] = Counter()
    for tags, links in _chains():
        changes = licence_changes([licence for _, licence in links])
        assert changes == ("license_change" in tags)
        verdict = chain_verdict([(name, licence, "") for name, licence in links[:-1]], links[-1][1], "commercial")
        # A base without derivatives is in conflict with anything made of it, the same licence or not.
        assert changes or all(conflict.kind == "no derivatives" for conflict in verdict.conflicts)
        counts["conflict"] += bool(verdict.conflicts)
        llama = any(licence.id.startswith("llama") for _, licence in links[:-1])
        last = links[-1][1]
        if "missing_llama_license" in tags and llama and last.is_known and not last.id.startswith("llama"):
            counts["missing"] += 1
            counts["missing, found"] += bool(verdict.conflicts)
    assert counts["conflict"] == 241
    assert counts["missing, found"] == counts["missing"] > 50


@real_records
def test_conflicts_agree_with_the_open_source_compatibility_matrix():
    """OSADL's matrix as published with PeaTMOSS: rows are the licence of the whole, columns that of a part."""
    with (HUB / "peatmoss" / "license_compatibility_matrix.csv").open() as lines:
        header, *rows = csv.reader(lines)
    agreed = seen = 0
    for row in rows:
        whole = _of(row[0])
        for column, said in zip(header[1:-1], row[1:-1], strict=True):
            part = _of(column)
            pair = (part, whole)
            if said in {"yes", "no"} and all(one.is_known and one.id in licence_table() for one in pair):
                seen += 1
                agreed += (said == "no") == (licence_conflict(part, whole) is not None)
    assert seen > 500
    assert agreed / seen > 0.93


@real_records
def test_conflicts_agree_with_the_pairs_that_peatmoss_judged_incompatible():
    """Only what it judged incompatible: an empty list there means that no pair was found, not that all would do."""
    mapping = json.loads((HUB / "peatmoss" / "license_incompatible_mapping.json").read_text())
    seen = agreed = 0
    for model, projects in mapping.items():
        for project in projects:
            base, derivative = _of(model), _of(project.replace("-plus", "-or-later"))
            if base.is_known and derivative.id in licence_table() and derivative.is_known:
                seen += 1
                agreed += licence_conflict(base, derivative) is not None
    assert seen >= 14
    assert agreed == seen
