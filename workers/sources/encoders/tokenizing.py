"""Texts into numbers by a tokenizer.json: the Rust library alone, no code of a repository, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from workers.kit import UserError
from workers.sources.encoders.folder import LARGEST_JSON_BYTES, ModelFolder

_UNBOUNDED = 1_000_000
_DEFAULT_LENGTH = 512
# Their position numbers begin after that of padding.
_SHIFTED = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer", "data2vec-text"})

Tokens = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextPreparation:
    """A tokenizer with the length it cuts at.

    tokenizer   of tokenizer.json; it neither cuts nor pads beyond what is set here
    max_length  tokens after which a text is cut, special tokens included
    pad_id      token that fills up
    fixed       every text is filled up to `max_length` (SigLIP was trained so, and reads its padding)
    """

    tokenizer: Tokenizer
    max_length: int
    pad_id: int
    fixed: bool = False

    def encodings(self, texts: Sequence[str]) -> list[Encoding]:
        """The tokens of each text, cut at `max_length`."""
        found: list[Encoding] = self.tokenizer.encode_batch(list(texts))
        return found

    def padded(self, encodings: Sequence[Encoding]) -> Tokens:
        """input_ids, attention_mask and token_type_ids, (n, t) int64, filled up on the right."""
        longest = self.max_length if self.fixed else max((len(one.ids) for one in encodings), default=1)
        shape = (len(encodings), max(longest, 1))
        ids = np.full(shape, self.pad_id, dtype=np.int64)
        mask, types = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, one in enumerate(encodings):
            length = len(one.ids)
            ids[row, :length], types[row, :length], mask[row, :length] = one.ids, one.type_ids, 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}

    @property
    def in_words(self) -> str:
        """The tokenisation for the provenance."""
        filled = ", filled up to that" if self.fixed else ""
        return f"tokenizer.json of the model, cut after {self.max_length:,} tokens{filled}."


def text_preparation(
    folder: ModelFolder, config: dict[str, Any], *, max_length: int = 0, fixed: bool = False, lower: bool = False
) -> TextPreparation:
    """The tokenizer of a model's folder.

    It cuts at `max_length`, else at `ModelRef.config["max_length"]`, else at tokenizer_config.json's model_max_length,
    else at the model's number of positions (512 where nothing says it); never beyond the positions. `lower` turns texts
    to small letters first. Raises UserError where tokenizer.json is not there, cannot be read, or does not suit the
    model's vocabulary.
    """
    name, path = folder.model.name, folder.path("tokenizer.json")
    if path is None:
        raise UserError(
            f"{name} has no tokenizer.json beside its weights. Save its tokenizer in the fast format "
            "(AutoTokenizer.from_pretrained(…).save_pretrained(…)) and scan the folder again."
        )
    try:
        if path.stat().st_size > LARGEST_JSON_BYTES:
            raise UserError(f"tokenizer.json of {name} is larger than any that is known. Use another model.")
        tokenizer = Tokenizer.from_file(str(path))
    except UserError:
        raise
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"tokenizer.json of {name} cannot be read. Fetch the file again.") from error
    settings = folder.settings("tokenizer_config.json")
    positions = _positions(config)
    stated = settings.get("model_max_length")
    length = max_length or _whole(folder.model.config.get("max_length")) or _whole(stated) or positions
    length = min(length or _DEFAULT_LENGTH, positions or _UNBOUNDED)
    vocabulary = config.get("vocab_size")
    if isinstance(vocabulary, int) and tokenizer.get_vocab_size(with_added_tokens=True) > vocabulary:
        raise UserError(
            f"The tokenizer of {name} knows {tokenizer.get_vocab_size():,} tokens, its weights only {vocabulary:,}. "
            "Fetch both from the same repository."
        )
    if length <= tokenizer.num_special_tokens_to_add(is_pair=False):
        raise UserError(
            f"{name} cannot read texts of at most {length} tokens. Correct 'max_length'.", field="max_length"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    if lower:
        tokenizer.normalizer = _lowered(tokenizer.normalizer)
    return TextPreparation(
        tokenizer=tokenizer, max_length=length, pad_id=_pad_id(tokenizer, settings, config), fixed=fixed
    )


def _lowered(normalizer: Any) -> Any:
    from_library = [Lowercase()] if normalizer is None else [Lowercase(), normalizer]
    return NormalizerSequence(from_library)


def _whole(value: Any) -> int:
    """A length that means something, else 0: "no limit" is written as 10^30."""
    return int(value) if isinstance(value, int | float) and 0 < value < _UNBOUNDED else 0


def _positions(config: dict[str, Any]) -> int:
    """How many tokens the position table has room for, 0 where there is none."""
    found = next((_whole(config[key]) for key in ("max_position_embeddings", "n_positions") if key in config), 0)
    if found and config.get("model_type") in _SHIFTED:
        padding = config.get("pad_token_id")
        found -= (padding if isinstance(padding, int) else 1) + 1
    return max(found, 0)


def _pad_id(tokenizer: Tokenizer, settings: dict[str, Any], config: dict[str, Any]) -> int:
    named = settings.get("pad_token")
    token = named.get("content") if isinstance(named, dict) else named
    found = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if found is None:
        found = config.get("pad_token_id")
    return found if isinstance(found, int) and found >= 0 else 0
