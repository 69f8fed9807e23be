"""Lineage: loops, cycles, several parents, missing and restricted models; the real edges of July 2024."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.lineage import LineageFacts, lineage_brief, lineage_facts, lineage_of
from hubapp.catalog.models import Model, Source

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REAL_EDGES = SHARED / "data/hub/stalnaker_2024-07/lineage_2024-07.csv.gz"
MISTRAL = "mistralai/Mistral-7B-v0.1"
pytestmark = pytest.mark.django_db

Edges = Iterable[tuple[str, str]]  # (child, base)
GraphMaker = Callable[..., None]


@pytest.fixture
def make_graph(demo_source: Source) -> GraphMaker:
    """Makes the children (and `known`) as models and their links to bases; `restricted` ones are for insiders."""

    def make(edges: Edges, *, known: Iterable[str] = (), restricted: Iterable[str] = (), relation: str = "") -> None:
        edges = list(edges)
        hidden = set(restricted)
        names = {child for child, _ in edges} | set(known) | hidden
        first = Model.objects.create(slug="-", title="-", source=demo_source)
        columns = [
            str(field.column)
            for field in Model._meta.concrete_fields
            if not (field.generated or field.column in {"id", "slug", "title", "is_restricted"})
        ]
        listed = ", ".join(columns)
        with connection.cursor() as cursor:  # two statements: in this number row by row takes a minute
            cursor.execute(
                f"INSERT INTO catalog_model ({listed}, slug, title, is_restricted) SELECT {listed}, name, name, "
                "name = ANY(%s::text[]) FROM catalog_model, unnest(%s::text[]) name WHERE id = %s",
                [list(hidden), sorted(names), first.pk],
            )
            cursor.execute(
                "INSERT INTO catalog_baselink (child_id, base_name, relation) SELECT m.id, base, %s "
                "FROM unnest(%s::text[], %s::text[]) AS edges(child, base) JOIN catalog_model m ON m.slug = child",
                [relation, [child for child, _ in edges], [base for _, base in edges]],
            )
        first.delete()

    return make


def names(relatives: Iterable[Any]) -> set[str]:
    return {relative.name for relative in relatives}


def graph_of(edges: Edges) -> Any:
    graph = nx.DiGraph()
    graph.add_edges_from((base, child) for child, base in edges)
    return graph


def facts_by_networkx(edges: list[tuple[str, str]], known: set[str]) -> LineageFacts:
    """The same facts by networkx."""
    graph = graph_of(edges)
    bases = {base for _, base in edges}
    without_loops = nx.DiGraph([edge for edge in graph.edges if edge[0] != edge[1]])
    components = list(nx.weakly_connected_components(graph))
    large = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    return LineageFacts(
        edges=graph.number_of_edges(),
        children=len({child for child, _ in edges}),
        bases=len(bases),
        missing_bases=len(bases - known),
        self_loops=nx.number_of_selfloops(graph),
        cycles=len(large),
        several_parents=sum(1 for _, degree in graph.in_degree() if degree > 1),
        components=len(components),
        largest=max(map(len, components)),
        longest_path=nx.dag_longest_path_length(nx.condensation(without_loops)),
        cycle_models=(),
    )


def test_a_family(make_graph: GraphMaker) -> None:
    make_graph([("b", "a"), ("c", "b"), ("d", "b"), ("d", "x"), ("e", "d")], known=["a"], relation="finetune")
    lineage = lineage_of("b", None)
    assert [(one.name, one.distance, one.relation) for one in lineage.ancestors] == [("a", 1, "finetune")]
    assert [(one.name, one.distance, one.via) for one in lineage.descendants] == [
        ("c", 1, "b"), ("d", 1, "b"), ("e", 2, "d"),
    ]  # fmt: skip
    assert lineage.children == 2
    of_d = lineage_of("d", None)
    assert names(of_d.ancestors) == {"a", "b", "x"}
    missing = next(one for one in of_d.ancestors if one.name == "x")
    assert missing.known is None
    assert lineage_of("a", None).ancestors == ()


def test_loops_and_cycles_end(make_graph: GraphMaker) -> None:
    cycle = [(f"m{(place + 1) % 5}", f"m{place}") for place in range(5)]
    make_graph([*cycle, ("m0", "m0"), ("leaf", "m3"), ("alone", "alone")])
    lineage = lineage_of("m0", None)
    assert names(lineage.ancestors) == {"m1", "m2", "m3", "m4"}
    assert names(lineage.descendants) == {"m1", "m2", "m3", "m4", "leaf"}
    assert {one.name: one.distance for one in lineage.descendants}["leaf"] == 4
    assert lineage.children == 1
    alone = lineage_of("alone", None)
    assert (alone.ancestors, alone.descendants, alone.children) == ((), (), 0)
    assert lineage_brief(Model.objects.get(slug="alone"), None).children == 0


def test_successors_are_followed_to_the_newest(make_graph: GraphMaker) -> None:
    make_graph([], known=["v1", "v2", "v3", "me"])
    for old, new in (("v1", "v2"), ("v2", "v3"), ("v3", "gone/away"), ("me", "me")):
        Model.objects.filter(slug=old).update(new_version=new)
    brief = lineage_brief(Model.objects.get(slug="v1"), None)
    assert [(one.name, one.title) for one in brief.successors] == [("v2", "v2"), ("v3", "v3"), ("gone/away", "")]
    Model.objects.filter(slug="v3").update(new_version="v1")
    newest = lineage_brief(Model.objects.get(slug="v1"), None).newest
    assert newest is not None
    assert newest.name == "v3"
    assert lineage_brief(Model.objects.get(slug="me"), None).newest is None


def test_outsiders_never_learn_of_restricted_models(make_graph: GraphMaker, alice: User, charlie: User) -> None:
    make_graph(
        [
            ("b", "secret"),
            ("secret", "a"),
            ("b", "open"),
            ("leaf", "b"),
            ("hidden-leaf", "b"),
            ("below", "hidden-leaf"),
        ],
        known=["a", "open"],
        restricted=["secret", "hidden-leaf"],
    )
    Model.objects.filter(slug="b").update(new_version="secret")
    b = Model.objects.get(slug="b")
    for outsider in (None, AnonymousUser(), charlie):
        lineage = lineage_of("b", outsider)
        assert names(lineage.ancestors) == {"open"}  # "a" is reached through "secret" only
        assert names(lineage.descendants) == {"leaf"}
        assert "secret" not in str(lineage)
        assert "hidden" not in str(lineage)
        brief = lineage_brief(b, outsider)
        assert (names(brief.bases), brief.children, brief.hides_bases, brief.newest) == ({"open"}, 1, True, None)
        assert names(lineage_of("a", outsider).descendants) == set()
        facts = lineage_facts(outsider)
        assert (facts.edges, facts.bases, facts.several_parents) == (2, 2, 0)
    assert names(lineage_of("b", alice).ancestors) == {"secret", "a", "open"}
    assert names(lineage_of("b", alice).descendants) == {"leaf", "hidden-leaf", "below"}
    brief = lineage_brief(b, alice)
    assert (brief.children, brief.hides_bases) == (2, False)
    assert brief.newest is not None
    assert lineage_facts(alice).edges == 6


def test_a_walk_stops_at_its_cap(make_graph: GraphMaker) -> None:
    make_graph([(f"c{place}", "root") for place in range(30)], known=["root"])
    lineage = lineage_of("root", None, most=10)
    assert len(lineage.descendants) == 10
    assert lineage.is_cut
    assert not lineage_of("root", None, most=30).is_cut


@pytest.mark.parametrize("seed", range(3))
def test_random_graphs_agree_with_networkx(make_graph: GraphMaker, seed: int) -> None:
    draw = np.random.default_rng(seed)
    edges = sorted({(f"m{a}", f"m{b}") for a, b in draw.integers(0, 60, (70, 2))})
    make_graph(edges)
    graph = graph_of(edges)
    for name in list(graph)[:20]:
        lineage = lineage_of(name, None)
        assert names(lineage.ancestors) == nx.ancestors(graph, name)
        assert names(lineage.descendants) == nx.descendants(graph, name)
        distances = nx.single_source_shortest_path_length(graph, name)
        assert {one.name: one.distance for one in lineage.descendants} == {
            other: steps for other, steps in distances.items() if other != name
        }
    facts = lineage_facts(None)
    assert {**vars(facts), "cycle_models": ()} == vars(facts_by_networkx(edges, {child for child, _ in edges}))
    assert len(facts.cycle_models) == facts.cycles


def test_facts_of_an_empty_catalogue(demo_source: Source) -> None:
    assert lineage_facts(None).edges == 0


def test_queries_do_not_grow_with_the_family(make_graph: GraphMaker) -> None:
    make_graph([(f"c{place}", f"c{place - 1}") for place in range(1, 40)] + [(f"d{place}", "c0") for place in range(9)])
    for name, limit in (("c0", 4), ("c39", 4)):
        with CaptureQueriesContext(connection) as captured:
            lineage_of(name, None)
        assert len(captured) == limit
    model = Model.objects.get(slug="c20")
    with CaptureQueriesContext(connection) as captured:
        lineage_brief(model, None)
    assert len(captured) <= 6


@pytest.mark.skipif(not REAL_EDGES.exists(), reason="the real edges lie beside the repository only")
def test_the_real_edges_of_july_2024(make_graph: GraphMaker, client: Client) -> None:
    with gzip.open(REAL_EDGES, "rt", encoding="utf-8", newline="") as lines:
        edges = [(row["child"], row["base_model"]) for row in csv.DictReader(lines)]
    assert len(edges) == 126_650
    make_graph(edges, known=[MISTRAL])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE catalog_model, catalog_baselink")
    facts = lineage_facts(None)
    assert (facts.edges, facts.self_loops, facts.cycles, facts.several_parents) == (126_650, 665, 7, 5_526)
    known = {child for child, _ in edges} | {MISTRAL}
    assert {**vars(facts), "cycle_models": ()} == vars(facts_by_networkx(edges, known))
    lineage = lineage_of(MISTRAL, None)
    assert lineage.children == 2_079
    assert len(lineage.descendants) == 5_170
    assert names(lineage.descendants) == nx.descendants(graph_of(edges), MISTRAL)
    assert lineage_brief(Model.objects.get(slug=MISTRAL), None).children == 2_079
