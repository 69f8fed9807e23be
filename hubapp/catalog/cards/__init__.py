"""Model cards from strangers: their front matter, their text as safe HTML, as plain text and by section."""

from hubapp.catalog.cards.front_matter import card_split
from hubapp.catalog.cards.reading import Section, card_sections, card_text
from hubapp.catalog.cards.rendering import card_html

__all__ = ["Section", "card_html", "card_sections", "card_split", "card_text"]
