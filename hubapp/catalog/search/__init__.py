"""Search of the models: words, facets, counts, pages, near words, roll-ups; at any size of the catalogue."""

from hubapp.catalog.search.facets import Facet, FacetValue, facet_label
from hubapp.catalog.search.listing import Listing, model_facets, model_list, model_listing
from hubapp.catalog.search.near import near_models, near_words, words_refresh

__all__ = [
    "Facet",
    "FacetValue",
    "Listing",
    "facet_label",
    "model_facets",
    "model_list",
    "model_listing",
    "near_models",
    "near_words",
    "words_refresh",
]
