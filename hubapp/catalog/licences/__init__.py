"""Licences of models: one name for each, what it allows, and what a chain of bases leaves allowed. Not legal advice.

Pure functions and one table (`table.csv`, a row a licence with its source); no model, no query.
"""

from hubapp.catalog.licences.chains import ChainVerdict, Conflict, chain_verdict, licence_changes, licence_conflict
from hubapp.catalog.licences.normalising import Licence, licence_normalise
from hubapp.catalog.licences.table import FAMILIES, Terms, licence_table, licence_terms
from hubapp.catalog.licences.verdicts import USES, Verdict, use_verdict

__all__ = [
    "FAMILIES",
    "USES",
    "ChainVerdict",
    "Conflict",
    "Licence",
    "Terms",
    "Verdict",
    "chain_verdict",
    "licence_changes",
    "licence_conflict",
    "licence_normalise",
    "licence_table",
    "licence_terms",
    "use_verdict",
]
