"""What a part of a card really says: boilerplate taken away, and numbers, code, references and people found."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hubapp.catalog.documentation.reading import Part

# What stands in templates until somebody writes: it says nothing of the model.
_TEMPLATES = (
    r"\[?more information (?:is )?needed(?: for further recommendations)?\]?|\[?information needed\]?"
    r"|\[needs? more information\]?|\bto be (?:added|completed|filled in?)\b|\bcoming soon\b"
    r"|this model ?card aims to be a base template for new models"
    r"|it has been generated using this raw template"
    r"|this is the model card of a (?:🤗 )?transformers model that has been pushed on the hub"
    r"|this model card has been automatically generated"
    r"|this model is a fine-tuned version of \S{1,200} on (?:the|an unknown|a) ?(?:none|unknown)? ?dataset"
    r"|users \(both direct and downstream\) should be made aware of the risks, biases,? and limitations of the model"
    r"|use the code below to get started with the model"
    r"|carbon emissions can be estimated using the machine learning impact calculator presented in lacoste et al\."
    r"(?: \(2019\))?"
    r"|the following hyperparameters were used during training:?"
    r"|for an automated evaluation of this model, see the sentence embeddings benchmark:? ?\S{0,200}"
    r"|\btodo\b(?:: ?add your code)?|\b(?:n/?a|tbd|tba|none|unknown|not applicable)\b\.?(?=[\t\x20]*$)"
)
# A template's sentence may be wrapped at any space.
_BOILERPLATE = re.compile(_TEMPLATES.replace(" ", r"\s"), re.IGNORECASE | re.MULTILINE)
# A label without a value, as in "Developed by:" or "BibTeX:".
_LABEL = re.compile(r"^[\w ()/,&'-]{1,60}(?:\[optional\])?:[ \t]*$", re.MULTILINE)
_ADDRESS = re.compile(r"https?://\S{1,500}")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WORD_CHARACTERS = re.compile(r"\w")
LEAST_CHARACTERS = 16

_NUMBER = re.compile(r"(?<![\w.])[+-]?\d{1,6}(?:[.,]\d{1,6})?\s?%?(?![\w.]?\d)")
_MEASURE = re.compile(
    r"\b(?:accuracy|loss|f1|bleu|wer|cer|perplexity|ppl|mrr|map|ndcg|auc|auroc|precision|recall|mean_?reward|score|em"
    r"|rouge|exact match|mse|mae|rmse|fid|iou|psnr|top-?[15]|acc|mmlu"  # codespell:ignore rouge
    r"|pearson|spearman|average|avg)\b[^\n]{0,60}?\d",
    re.IGNORECASE,
)
_RUNS = re.compile(
    r"\b(?:import|from_pretrained|pipeline\(|load_model|load_from_hub|pip install|git clone|docker run|curl|python3? "
    r"|ollama run|llama-cli|vllm|\./main|huggingface-cli|mlagents|AutoModel|AutoTokenizer|SentenceTransformer"
    r"|\w+\.load\w*\()"
)
_REFERENCE = re.compile(r"@\w{3,20}\s?\{|\barxiv\.org/|\bdoi\.org/|\barxiv:\s?\d{4}\.", re.IGNORECASE)
_PERSON = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,60}(?:@| ?\[at\] ?)[\w-]{1,60}\.[\w.]{2,30}|\bmailto:|https?://"
    r"|(?<!\w)@\w{2,30}|\bdiscord\b",
    re.IGNORECASE,
)
_ASKING = re.compile(r"\b(?:contact|reach out|e-?mail (?:me|us)|questions|feedback|get in touch|join)\b", re.IGNORECASE)
_EMISSIONS = re.compile(r"\b\d[\d.,]{0,12}\s?(?:k?g|t|tons?|tonnes)?\s?(?:of\s)?(?:CO2|CO₂|kWh|MWh)", re.IGNORECASE)


def own_words(text: str) -> str:
    """The text without boilerplate, addresses and labels that have no value."""
    return _LABEL.sub("", _ADDRESS.sub(" ", _BOILERPLATE.sub(" ", text)))


def own_weight(parts: Sequence[Part]) -> int:
    """How much the parts say of their own, in letters and digits of text and code; counting stops at enough."""
    weight = 0
    for part in parts:
        words = own_words(part.text)
        weight += len(_WORD_CHARACTERS.findall(words)) + 3 * len(_WIDE.findall(words))
        weight += sum(len(_WORD_CHARACTERS.findall(own_words(code[:500]))) for code in part.code)
        if weight >= LEAST_CHARACTERS:
            break
    return weight


def is_filled(parts: Sequence[Part]) -> bool:
    """Whether the parts say something of their own."""
    return own_weight(parts) >= LEAST_CHARACTERS


def has_numbers(parts: Sequence[Part]) -> bool:
    """Whether the parts report a measured number: a row of a table with one, or a measure with its value."""
    return any(any(_NUMBER.search(row) for row in part.rows) or _MEASURE.search(own_words(part.text)) for part in parts)


def has_running_code(parts: Sequence[Part]) -> bool:
    """Whether the parts show code or a command that loads or runs something; a block that says TODO is none."""
    for part in parts:
        if re.search(r"\bTODO\b", part.text):
            continue
        blocks = [block for block in part.code if "TODO" not in block and len(block.strip()) >= LEAST_CHARACTERS]
        if any(_RUNS.search(block) for block in blocks):
            return True
    return False


def has_reference(parts: Sequence[Part]) -> bool:
    """Whether the parts hold a BibTeX entry, an arXiv number or a DOI."""
    return any(_REFERENCE.search(text) for part in parts for text in (part.text, *part.code, *part.links))


def has_person(parts: Sequence[Part]) -> bool:
    """Whether the parts hold an address: mail, a link, an account."""
    return any(part.links or any(_PERSON.search(text) for text in (part.text, *part.code)) for part in parts)


def asks_to_write(part: Part) -> bool:
    """Whether a line asks to get in touch and gives an address."""
    lines = [line for line in part.text.split("\n") if _ASKING.search(line)]
    has_mail = any(link.lower().startswith("mailto:") for link in part.links)
    return bool(lines) and (has_mail or any(_PERSON.search(line) for line in lines))


def has_emissions(parts: Sequence[Part]) -> bool:
    """Whether the parts state energy or emissions with a number."""
    return any(_EMISSIONS.search(part.text) for part in parts)
