"""Charts of the results."""

from __future__ import annotations

from hubapp.bring.standing import Row, Standings
from hubapp.charts import Figure
from hubapp.charts.tradeoff import Offer, tradeoff

CHARTS = {"parameters": "Parameters", "time": "Milliseconds a row"}


def standings_figure(found: Standings, name: str) -> Figure:
    """The sort column against parameters ("parameters") or against measured time ("time")."""
    by = found.ranking.by
    offers = []
    for row in found.scored:
        score, cost = row.place.scores[by.key], _cost(row, name)
        if cost and score.value is not None:
            standing = row.by_size if name == "parameters" else row.by_time
            offers.append(
                Offer(
                    name=row.place.model.title,
                    cost=cost,
                    value=score.value,
                    low=score.low,
                    high=score.high,
                    standing=standing,
                )
            )
    return tradeoff(offers, cost_title=CHARTS[name], value_title=by.title, lower_is_better=by.sign < 0)


def _cost(row: Row, name: str) -> float | None:
    return float(row.parameters) if name == "parameters" else row.milliseconds
