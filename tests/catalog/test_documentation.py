from __future__ import annotations

import time
from pathlib import Path

import pytest
from scipy import stats

from hubapp.catalog.documentation import LEVELS, RULES, documentation_score, section_shares
from hubapp.catalog.documentation.headings import heading_anchor, heading_rules
from hubapp.catalog.documentation.reading import card_parts

FRONT_MATTER = {
    "license": "apache-2.0",
    "pipeline_tag": "text-classification",
    "datasets": ["org/reviews"],
    "base_model": "org/encoder",
    "language": "en",
}
GOOD_CARD = """# Review classifier

Tells pleased from displeased reviews of hotels.

## Intended uses

For sorting the post of a hotel. Not for judging people.

## Limitations and bias

Irony is read literally; reviews in dialect are misread more often.

## Training data

40,000 reviews that guests wrote between 2015 and 2020.

## Training procedure

Three epochs of AdamW at a rate of 2e-5 on one GPU.

## Evaluation

| split | accuracy |
|---|---|
| test | 0.913 |

## How to use

```python
from transformers import pipeline
classifier = pipeline("text-classification", "org/review-classifier")
```

## Environmental impact

The training drew 0.8 kWh.

## Citation

```bibtex
@misc{reviews2024, title={Reviews}, year={2024}}
```

## Contact

Write to maintainer@example.org.
"""
TRAINER_CARD = """<!-- This model card has been generated automatically according to the information the Trainer had
access to. You should probably proofread and complete it, then remove this comment. -->

# my-model

This model is a fine-tuned version of [org/encoder](https://example.org/encoder) on the None dataset.

## Model description

More information needed

## Intended uses & limitations

More information needed

## Training and evaluation data

More information needed

## Training procedure
"""
TEMPLATE_CARD = """# Model Card for Model ID

This modelcard aims to be a base template for new models. It has been generated
using [this raw template](https://x.org/t).

## Uses

<!-- Address questions around how the model is intended to be used. -->

### Direct Use

[More Information Needed]

## Bias, Risks, and Limitations

[More Information Needed]

### Recommendations

Users (both direct and downstream) should be made aware of the risks, biases and limitations of the model. More
information needed for further recommendations.

## How to Get Started with the Model

Use the code below to get started with the model.

[More Information Needed]

## Training Details

### Training Data

[More Information Needed]

## Evaluation

#### Metrics

[More Information Needed]

## Environmental Impact

Carbon emissions can be estimated using the [Machine Learning Impact calculator](https://x.org/i) presented in \
[Lacoste et al. (2019)](https://x.org/l).

- **Hardware Type:** [More Information Needed]
- **Carbon Emitted:** [More Information Needed]

## Citation [optional]

**BibTeX:**

[More Information Needed]

## Model Card Contact

[More Information Needed]
"""


def _score(body: str | None, front_matter: dict | None = None, **more):
    return documentation_score(has_card=more.pop("has_card", True), front_matter=front_matter or {}, body=body, **more)


def _met(documentation) -> dict[str, bool | None]:
    return {finding.rule.name: finding.is_met for finding in documentation.findings}


def _section_names() -> set[str]:
    return {rule.name for rule in RULES if rule.group == "sections"}


# --- the sum -----------------------------------------------------------------------------------------------------


def test_rules_add_up_to_one_hundred_and_each_says_what_is_missing():
    assert sum(rule.points for rule in RULES) == 100
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.missing.endswith(".")
        assert rule.help.startswith("documentation-score.md#")


def test_every_rule_has_its_place_in_the_docs():
    text = (Path(__file__).resolve().parents[2] / "docs" / "documentation-score.md").read_text()
    anchors = {line.removeprefix("### ").strip() for line in text.splitlines() if line.startswith("### ")}
    assert {rule.name for rule in RULES} <= anchors
    for rule in RULES:
        assert f"{rule.title}, {rule.points} points" in text


def test_a_complete_card_gets_every_point():
    documentation = _score(GOOD_CARD, FRONT_MATTER)
    assert documentation.points == documentation.most == 100
    assert documentation.level == "good"
    assert documentation.missing == ()


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("## Intended uses", "intended-use"),
        ("## Limitations and bias", "limitations"),
        ("## Training data", "training-data"),
        ("## Training procedure", "training-procedure"),
        ("## Evaluation", "evaluation"),
        ("## How to use", "how-to-use"),
        ("## Environmental impact", "environment"),
        ("## Citation", "citation"),
        ("## Contact", "contact"),
    ],
)
def test_a_section_left_out_costs_its_points_and_nothing_else(heading, name):
    before, _, rest = GOOD_CARD.partition(heading + "\n")
    after = rest[rest.find("\n## ") + 1 :] if "\n## " in rest else ""
    documentation = _score(before + after, FRONT_MATTER)
    points = {rule.name: rule.points for rule in RULES}
    assert [finding.rule.name for finding in documentation.missing] == [name]
    assert documentation.points == 100 - points[name]


@pytest.mark.parametrize("key", ["license", "pipeline_tag", "datasets", "language"])
def test_front_matter_left_out_costs_its_points(key):
    names = {"license": "licence", "pipeline_tag": "task"}
    documentation = _score(GOOD_CARD, {other: value for other, value in FRONT_MATTER.items() if other != key})
    assert [finding.rule.name for finding in documentation.missing] == [names.get(key, key)]


def test_points_are_the_sum_of_the_findings():
    for body in (GOOD_CARD, TRAINER_CARD, TEMPLATE_CARD, "words", "# Usage\n\nnothing"):
        documentation = _score(body, FRONT_MATTER)
        assert documentation.points == sum(finding.points for finding in documentation.findings)
        assert [finding.rule for finding in documentation.findings] == list(RULES)
        assert documentation.level in LEVELS


# --- boilerplate -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [TRAINER_CARD, TEMPLATE_CARD], ids=["trainer", "template"])
def test_templates_without_content_count_for_nothing(body):
    documentation = _score(body)
    assert {name for name, is_met in _met(documentation).items() if is_met and name in _section_names()} == set()
    found = {finding.rule.name: finding for finding in documentation.findings}
    assert found["limitations"].evidence.endswith("holds nothing but a template")
    assert found["limitations"].where


def test_what_is_written_into_a_template_counts():
    body = TEMPLATE_CARD.replace(
        "### Direct Use\n\n[More Information Needed]", "### Direct Use\n\nSorting of hotel reviews."
    )
    assert _met(_score(body))["intended-use"] is True
    filled = TRAINER_CARD + "\n- learning_rate: 2e-05\n- num_epochs: 3\n- optimizer: AdamW\n"
    assert _met(_score(filled))["training-procedure"] is True


def test_numbers_the_trainer_wrote_are_an_evaluation_and_an_evaluation_without_numbers_is_none():
    body = TRAINER_CARD.replace(
        "None dataset.", "None dataset.\nIt achieves the following results:\n- Accuracy: 0.91\n"
    )
    assert _met(_score(body))["evaluation"] is True
    vague = _score("## Evaluation\n\nIt works well on all of our hotel reviews.\n")
    assert _met(vague)["evaluation"] is False
    assert {f.rule.name: f for f in vague.findings}["evaluation"].evidence == "“Evaluation” has no number"


def test_emissions_with_a_number_count_wherever_they_stand():
    assert _met(_score("# A\n\nCarbon footprint: 539 tCO2eq in all.\n"))["environment"] is True
    assert _met(_score("# A\n\nTraining drew a lot of energy.\n"))["environment"] is False


def test_code_that_is_still_to_be_written_is_no_code():
    todo = "## Usage\n\nTODO: Add your code\n\n```python\nfrom stable_baselines3 import PPO\n...\n```\n"
    assert _met(_score(todo))["how-to-use"] is False
    assert _met(_score("## Usage\n\nRun it like any other model of the library.\n"))["how-to-use"] is False
    assert _met(_score("# A\n\ntext\n\n```\nfrom a import b\nb.run()\n```\n"))["how-to-use"] is True


# --- front matter ------------------------------------------------------------------------------------------------


def test_rules_that_do_not_apply_are_not_held_against_a_card():
    vision = _score(GOOD_CARD, {"license": "mit", "pipeline_tag": "image-classification", "datasets": ["a"]})
    assert vision.points == 100
    evidence = {finding.rule.name: finding.evidence for finding in vision.findings}
    assert evidence["language"].startswith("does not apply")
    assert evidence["base-model"].startswith("does not apply")


@pytest.mark.parametrize(
    ("front_matter", "tags", "body"),
    [
        ({"library_name": "peft"}, (), "x"),
        ({}, ("generated_from_trainer",), "x"),
        ({}, ("GGUF",), "x"),
        ({}, (), "This is a fine-tuned version of something."),
    ],
)
def test_a_model_made_from_another_must_name_it(front_matter, tags, body):
    assert _met(_score(body, front_matter, tags=tags))["base-model"] is False
    assert _met(_score(body, front_matter | {"base_model": ["a/b"]}, tags=tags))["base-model"] is True


def test_tags_of_a_record_stand_for_its_front_matter():
    tags = ("license:mit", "dataset:squad", "base_model:a/b", "question-answering", "en", "arxiv:1.2")
    met = _met(_score(None, tags=tags, has_card=None))
    assert [met[name] for name in ("licence", "task", "datasets", "base-model", "language")] == [True] * 5


@pytest.mark.parametrize(
    ("front_matter", "is_met"),
    [
        ({"license": "unknown"}, False),
        ({"license": "other"}, False),
        ({"license": "other", "license_name": "acme"}, True),
        ({"license": ["mit"]}, True),
        ({"license": None}, False),
    ],
)
def test_a_licence_must_say_which(front_matter, is_met):
    assert _met(_score("x", front_matter))["licence"] is is_met


def test_scores_and_emissions_of_the_front_matter_count():
    index = [{"name": "m", "results": [{"task": {}, "metrics": [{"type": "accuracy", "value": 0.9}]}]}]
    met = _met(_score("x", {"model-index": index, "co2_eq_emissions": {"emissions": 12.5}}))
    assert met["evaluation"] is True
    assert met["environment"] is True
    assert _met(_score("x", {"model-index": [{"results": [{"metrics": []}]}]}))["evaluation"] is False


# --- levels and what is unknown ----------------------------------------------------------------------------------


def test_no_card_an_empty_card_and_a_card_not_read_are_three_things():
    none = _score(None, has_card=False)
    assert (none.level, none.points) == ("none", 0)
    assert set(_met(none).values()) == {False}
    assert _score("  \n").level == "none"
    unread = _score(None, FRONT_MATTER)
    assert unread.level == "not-read"
    assert unread.points == 31
    assert {_met(unread)[name] for name in _section_names()} == {None}
    nothing = _score(None, has_card=None)
    assert nothing.level == "not-read"
    assert set(_met(nothing).values()) == {None}


def test_headings_in_another_language_are_unknown_and_not_missing():
    body = "# 模型\n\n## 使用方法\n\n下载模型之后运行。\n\n## 局限性\n\n可能出错。\n"
    documentation = _score(body, FRONT_MATTER)
    assert _met(documentation)["limitations"] is None
    assert "in a language" in {f.rule.name: f.evidence for f in documentation.findings}["limitations"]
    assert (
        _met(_score("# 概要 (Overview)\n\n## 制限 (Limitations)\n\n日本語の文章に弱いことがあります。"))["limitations"]
        is True
    )


# --- headings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Intended uses & limitations", {"intended-use", "limitations"}),
        ("🚀 **How to use**", {"how-to-use"}),
        ("3. Training data", {"training-data"}),
        ("Bias, Risks, and Limitations", {"limitations"}),
        ("Training and evaluation data", {"training-data"}),
        ("Training hyperparameters", {"training-procedure"}),
        ("Training results", {"evaluation"}),
        ("Out-of-Scope Use", {"intended-use"}),
        ("BibTeX entry and citation info", {"citation"}),
        ("Model Card Authors [optional]", {"contact"}),
        ("<h2>Environmental Impact</h2>", {"environment"}),
        ("[Usage](https://example.org/limitations)", {"how-to-use"}),
        ("License and usage", set()),
        ("Framework versions", set()),
        ("", set()),
    ],
)
def test_headings_are_recognised_in_their_variants(heading, names):
    assert heading_rules(heading) == names


def test_where_leads_to_the_heading():
    documentation = _score(GOOD_CARD, FRONT_MATTER)
    where = {finding.rule.name: finding.where for finding in documentation.findings}
    assert where["limitations"] == "limitations-and-bias"
    assert where["how-to-use"] == "how-to-use"
    assert where["licence"] == ""
    assert heading_anchor("How to use (with *pipeline*)?") == "how-to-use-with-pipeline"


def test_headings_of_every_make_divide_a_card_and_code_is_not_read_as_headings():
    body = "Title\n=====\n\nintro\n\n**Limitations:** few\n\n<h3 align=center>Usage</h3>\n\n"
    body += "```\n# not a heading\n```\n\n**Training data**\n\nMany reviews of hotels.\n\n## Citation\n"
    parts = card_parts(body)
    assert [(part.level, part.title, part.text) for part in parts] == [
        (1, "Title", "intro\nLimitations: few"),
        (7, "Limitations", "few"),
        (3, "Usage", "Training data\nMany reviews of hotels."),
        (7, "Training data", "\nMany reviews of hotels."),
        (2, "Citation", ""),
    ]
    assert [block.strip() for block in parts[2].code] == ["# not a heading"]


def test_a_table_of_contents_is_no_section():
    body = "# A\n\n- [Limitations](#limitations)\n- [Technical specifications of it](#b)\n- [Citation](#c)\n"
    met = _met(_score(body))
    assert met["limitations"] is False
    assert met["citation"] is False


# --- hostile input and speed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "<" * 300_000,
        "<!--" * 60_000,
        "[" * 200_000,
        "](" * 100_000,
        "# limitations\n" * 20_000,
        "\n".join("#" * (place % 6 + 1) + " limitations" for place in range(15_000)),
        "# Evaluation\n" + "loss " * 39_000,
        "1." * 100_000,
        "a" * 200_000 + "@",
        "a-" * 100_000,
        "*" * 200_000,
        "**a** \n" * 30_000,
        "a:\n" + "\n" * 199_000,
        "# Limitations\n" + " " * 190_000 + "x",
        "na \n" * 50_000,
        "```\n" * 50_000,
        "|" * 200_000,
        "more information " * 12_000,
        "a\n=\n" * 50_000,
        "\x00\ud800#" * 60_000,
    ],
    ids=lambda body: ascii(body[:12]),
)
def test_hostile_bodies_are_read_in_bounded_time(body):
    begin = time.process_time()
    documentation = _score(body)
    assert time.process_time() - begin < 3
    assert documentation.points <= 100


@pytest.mark.parametrize(
    "value",
    [None, 3, True, [], {}, [[]], [None], {"a": {"b": 1}}, "x" * 100_000, ["x"] * 100_000, b"x", [{"results": 3}]],
)
def test_hostile_front_matter_is_read_as_what_it_is(value):
    keys = (
        "license",
        "license_name",
        "license_link",
        "pipeline_tag",
        "datasets",
        "base_model",
        "language",
        "model-index",
    )
    documentation = _score("x", dict.fromkeys((*keys, "co2_eq_emissions", "library_name"), value), tags=("a", 3))
    assert documentation.points <= 100
    assert all(len(finding.evidence) < 500 for finding in documentation.findings)


def test_the_same_card_gives_the_same_score():
    assert _score(GOOD_CARD, FRONT_MATTER) == _score(GOOD_CARD, FRONT_MATTER)


# --- shares ------------------------------------------------------------------------------------------------------


def test_shares_count_only_what_is_known():
    documentations = [_score(GOOD_CARD, FRONT_MATTER), _score("words", FRONT_MATTER), _score(None, FRONT_MATTER)]
    shares = {share.rule.name: share for share in section_shares(documentations)}
    citation = shares["citation"]
    assert (citation.met, citation.known, citation.share.value) == (1, 2, 0.5)
    expected = stats.binomtest(1, 2).proportion_ci(method="wilson")
    assert (citation.share.low, citation.share.high) == pytest.approx((expected.low, expected.high))
    assert (shares["licence"].met, shares["licence"].known) == (3, 3)
    assert all(share.share.value is None for share in section_shares([]))
