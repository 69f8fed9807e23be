"""The documentation score of cards, against reading their Markdown alone, which it cannot do without.

Both sides run in turn in one process on the same bodies, one of each size. An empty result ends the run with an error.
`python -m benchmarks.bench_documentation [--repeats 7]`
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

from hubapp.catalog.documentation import documentation_score
from hubapp.catalog.documentation.reading import card_parts

SECTION = """## {title}

The model was trained on *{place}* images of the collection, for `{place}` epochs, with a [schedule](https://example.org/{place}).

- batch size {place}
- rate 1e-{place}

```python
model = load("net-{place}")
```

"""
TITLES = ("Intended use", "Limitations", "Training data", "Training procedure", "Evaluation", "How to use", "Citation")


def body(sections: int) -> str:
    """A card's body of that many sections, about 250 characters each."""
    return "".join(SECTION.format(title=TITLES[place % len(TITLES)], place=place) for place in range(sections))


def seconds(run: Callable[[], object]) -> float:
    """Processor time of one call."""
    started = time.process_time()
    run()
    return time.process_time() - started


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    for sections in (1, 7, 40, 400):
        text = body(sections)
        if not documentation_score(has_card=True, front_matter={}, body=text).points:
            raise SystemExit("a filled card has no points")
        score = partial(documentation_score, has_card=True, front_matter={}, body=text)
        pairs = [(seconds(score), seconds(partial(card_parts, text))) for _ in range(chosen.repeats)]
        ours = statistics.median(pair[0] for pair in pairs)
        bare = statistics.median(pair[1] for pair in pairs)
        print(f"{len(text):>7,} characters: {ours * 1e3:.2f} ms, reading alone {bare * 1e3:.2f} ms ({bare / ours:.0%})")


if __name__ == "__main__":
    main()
