"""Which rule a heading of a card is about. English headings, and the English part of headings in two languages."""

from __future__ import annotations

import re
from functools import lru_cache

MOST_CHARACTERS = 160

# Plain phrases joined by "or": none can run longer than the heading is.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "intended-use": (
        r"\bintended\b",
        r"^(?:primary |direct |downstream |potential |recommended |possible )*uses?(?: cases?)?$",
        r"\buse[- ]cases?\b|\bout[- ]of[- ]scope\b|\bmisuses?\b|\bapplications?\b|\bpurpose\b",
    ),
    "limitations": (
        r"\blimitations?\b|\bbias(?:es)?\b|\brisks?\b|\bethic(?:s|al)\b|\bcaveats?\b|\bknown (?:issues|problems)\b",
        r"\bfairness\b|\bsafety\b|\bresponsib(?:le|ility)\b|\bdisclaimers?\b|\bwarnings?\b",
    ),
    "training-data": (
        r"\b(?:pre-?|fine-?)?(?:train(?:ing)?|tuning)(?: (?:and|&) (?:evaluation|test))? (?:data|corpus|corpora|sets?)",
        r"\bdata-? ?sets?\b|\bdata (?:sources?|used|collection|overview)\b|^(?:the )?data$|\bcorp(?:us|ora)\b",
    ),
    "training-procedure": (
        r"\btraining (?:procedure|details?|hyper|regime|set-?up|config|process|method|parameters?)",
        r"\btraining (?:settings?|script|code)|\bmerge (?:method|details|recipe|config)",
        r"\btraining (?:information|strategy|arguments|infrastructure|hardware)|\bhyper-?parameters?\b|\btraining$",
        r"\bpre-?training\b|\bfine-?tuning\b|\bpre-?processing\b|\bmodels merged\b",
        r"\bhow (?:it|this|the model|this model|i|we) (?:was |is )?(?:trained|made|built|work)",
        r"\bhow does it work\b",
        r"\boptimi[sz]er\b|\bquanti[sz]ation (?:details|method|config)|\bexplanation of quantisation|\btrained with\b",
        r"^configuration$",
    ),
    "evaluation": (
        r"\bevaluations?\b|\bresults?\b|\bbenchmarks?\b|\bperformance\b|\bmetrics?\b|\baccuracy\b|\bleaderboard\b",
        r"\bscores?\b|\bvalidation\b|\btesting\b|\bcomparisons?\b|\bperplexity\b",
    ),
    "how-to-use": (
        r"\bhow (?:to|do i) (?:use|run|get|load|download|start|serve|easily|infer|install|deploy|prompt|try|quickly)",
        r"\busages?\b|\bget(?:ting)? started\b|\bquick ?-?start\b|\binference\b|\bdemos?\b|\bserving\b|\bsetup\b",
        r"\bexamples?(?: [^ ]+){0,2} (?:usage|code|command)|\bexamples?$|\bcode examples?\b|\bpython code\b",
        r"\buse (?:with|in|this|it|the model)\b|\busing (?:this|the|it|with|llama|oobabooga)|\byou can then use\b",
        r"\bdeploy\w{0,7}\b|\binstall(?:ation|ing)?\b|\bcommand line\b|\bprompt(?:ing)?\b|\btrigger words?\b",
        r"\bin (?:text-generation-webui|transformers)\b|\bdownload\b|\brun(?:ning)? (?:the|this|with|in|on|from)\b",
        r"\bload(?:ing)? (?:the|this|model)|\bsample code\b|\bpipeline\b|\bwith git\b",
        r"\bresume the training\b|\bwatch your agent\b",
    ),
    "environment": (
        r"\benvironment(?:al)? impact\b|\bcarbon\b|\bco2\b|\bemissions?\b|\benergy (?:use|consumption|cost)",
    ),
    "citation": (r"\bcit(?:e|es|ing|ations?)\b|\bbibtex\b|\breferences?\b|\bpapers?\b|\brelated work\b",),
    "contact": (
        r"\bcontacts?\b|\bmaintain(?:ers?|ed)\b|\bauthors?\b|\bteam(?: members)?\b|\bquestions\b|\bfeedback\b",
        r"\bsupport\b|\bdiscord\b|\breporting issues\b|\bget in touch\b|\bcommunity\b|\bdeveloped by\b|\bcreators?\b",
        r"\bcontributors?\b|\bdevelopers?\b|\bhelp$",
    ),
}
_COMPILED = {name: re.compile("|".join(patterns)) for name, patterns in _PATTERNS.items()}
# A heading that matches the first is not about the second.
_NOT_BOTH = (
    ("training-data", "evaluation", re.compile(r"evaluation data")),
    ("training-procedure", "evaluation", re.compile(r"training (?:procedure|details|hyper)")),
    ("evaluation", "training-procedure", re.compile(r"training results?")),
    ("how-to-use", "training-procedure", re.compile(r"resume the training|how to use")),
    ("environment", "training-procedure", re.compile(r"environmental")),
    ("how-to-use", "intended-use", re.compile(r"\bhow to use\b|\busage\b")),
)
# Licences have a rule of their own; the data that set a quantisation are not those of the training.
_NEITHER = re.compile(r"\blicen[cs](?:es?|ing)\b|^(?:gptq|awq|calibration) data-? ?sets?")
_MARKUP = re.compile(r"<[^<>]{0,200}>|\[optional\]|[*_`#>~|]|\]\([^()]{0,300}\)|[\[\]!]")
_LATIN = re.compile(r"[a-z]{3,}")


def heading_text(title: str) -> str:
    """A heading in lower case without markup, emoji, numbering and closing punctuation."""
    text = _MARKUP.sub(" ", title[: 2 * MOST_CHARACTERS]).lower()
    text = "".join(sign if sign.isalnum() or sign in " -&'/()+.," else " " for sign in text)
    text = " ".join(text.split())[:MOST_CHARACTERS]
    return text.lstrip("0123456789.) -").strip(" .:-,")


@lru_cache(maxsize=10_000)
def heading_rules(title: str) -> frozenset[str]:
    """The names of the section rules that a heading is about; none if it is about something else."""
    text = heading_text(title)
    if _NEITHER.search(text):
        return frozenset()
    found = {name for name, pattern in _COMPILED.items() if pattern.search(text)}
    for kept, dropped, pattern in _NOT_BOTH:
        if kept in found and dropped in found and pattern.search(text):
            found.discard(dropped)
    return frozenset(found)


def heading_is_latin(title: str) -> bool:
    """Whether a heading has a word in Latin letters, so that the patterns had something to read."""
    return bool(_LATIN.search(heading_text(title)))


def heading_anchor(title: str) -> str:
    """The anchor of a heading as the Hub and GitHub make it: "How to use?" → "how-to-use"."""
    text = re.sub(r"\]\([^()]{0,300}\)", " ", title[: 2 * MOST_CHARACTERS]).strip().lower()
    kept = "".join(sign for sign in text if sign.isalnum() or sign in " -_")
    return kept.strip().replace(" ", "-")
