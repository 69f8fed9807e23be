"""Weights of a hub's models, brought here on request and removed again; what was fetched can be run and ranked."""

from hubapp.catalog.fetching.placing import copies_forget, weights_remove
from hubapp.catalog.fetching.planning import FetchPlan, fetch_plan
from hubapp.catalog.fetching.services import Fetched, weights_fetch, weights_fetch_run

__all__ = [
    "FetchPlan",
    "Fetched",
    "copies_forget",
    "fetch_plan",
    "weights_fetch",
    "weights_fetch_run",
    "weights_remove",
]
