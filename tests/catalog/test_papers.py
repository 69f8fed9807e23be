"""Papers: listed, searched, with the models that name them; nothing of restricted models."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.models import Model, Paper, PaperLink, Source
from hubapp.catalog.papers import paper_list, paper_number, papers_counted

pytestmark = pytest.mark.django_db


@pytest.fixture
def papers(demo_source: Source) -> None:
    """Three papers: of two models, of an old number, and one that only a restricted model names."""
    models = [
        Model.objects.create(slug=slug, title=slug, source=demo_source, is_restricted=slug == "hidden", downloads=place)
        for place, slug in enumerate(("one", "two", "hidden"))
    ]
    attention = Paper.objects.create(arxiv_id="1706.03762", title="Attention & all <b>you</b> need")
    old = Paper.objects.create(arxiv_id="cs/0112017")
    private = Paper.objects.create(arxiv_id="2401.99999", title="Of a private model")
    for paper, named in ((attention, models), (old, models[:1]), (private, models[2:])):
        PaperLink.objects.bulk_create(PaperLink(paper=paper, model=model) for model in named)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1706.03762", "1706.03762"),
        (" arXiv:1706.03762v7 ", "1706.03762"),
        ("https://arxiv.org/abs/1706.03762v2", "1706.03762"),
        ("http://www.arxiv.org/pdf/1706.03762.pdf", "1706.03762"),
        ("cs/0112017", "cs/0112017"),
        ("attention", "attention"),
    ],
)
def test_a_number_is_understood_however_it_is_written(text: str, number: str) -> None:
    assert paper_number(text) == number


def test_outsiders_see_the_papers_of_open_models(papers: None, alice: User) -> None:
    def found(text: str, user: User | None) -> list[tuple[str, int]]:
        return [(paper.arxiv_id, count) for paper, count in papers_counted(paper_list(text, user))]

    assert found("", None) == [("1706.03762", 2), ("cs/0112017", 1)]
    assert found("", alice) == [("1706.03762", 3), ("cs/0112017", 1), ("2401.99999", 1)]
    assert found("need", None) == [("1706.03762", 2)]
    assert found("1706", None) == [("1706.03762", 2)]
    assert found("2401.99999", None) == []


def test_paper_list_and_twin(client: Client, papers: None) -> None:
    page = " ".join(client.get("/papers/").content.decode().split())
    assert "2 papers, the most named first." in page
    assert "Attention &amp; all &lt;b&gt;you&lt;/b&gt; need" in page
    assert 'href="https://arxiv.org/abs/1706.03762" rel="noreferrer"' in page
    assert "private" not in page
    twin = client.get("/papers.json?q=cs/0112017").json()
    assert twin["papers"] == [{"arxiv_id": "cs/0112017", "title": "", "models": 1}]
    assert "No model here names such a paper" in client.get("/papers/?q=nothing").content.decode()
    assert client.get("/papers/?q=%00&page=x&sort=odd").status_code == 200


def test_paper_page_and_twin(client: Client, papers: None, alice: User) -> None:
    page = client.get("/papers/1706.03762/").content.decode()
    assert "2 models here name it, the most downloaded first." in page
    assert "/models/hidden/" not in page
    assert "/models/two/" in page
    assert client.get("/papers/cs/0112017/").status_code == 200
    twin = client.get("/papers/1706.03762.json").json()
    assert [model["model"] for model in twin["models"]] == ["two", "one"]
    for unknown in ("/papers/2401.99999/", "/papers/2401.99999.json", "/papers/9999.00001/"):
        assert client.get(unknown).status_code == 404
    client.force_login(alice)
    assert [one["model"] for one in client.get("/papers/2401.99999.json").json()["models"]] == ["hidden"]


def test_no_paper_yet(client: Client) -> None:
    assert "No paper yet" in client.get("/papers/").content.decode()


def test_queries_do_not_grow(client: Client, papers: None) -> None:
    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(path)
        return len(captured)

    few = {path: count(path) for path in ("/papers/", "/papers/1706.03762/")}
    source = Source.objects.get()
    for number in range(60):
        model = Model.objects.create(slug=f"m{number}", title="m", source=source)
        paper = Paper.objects.create(arxiv_id=f"2402.{number:05}")
        PaperLink.objects.create(paper=paper, model=model)
        PaperLink.objects.create(paper=Paper.objects.get(arxiv_id="1706.03762"), model=model)
    assert {path: count(path) for path in few} == few
    assert max(few.values()) <= 4
