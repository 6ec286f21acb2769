"""What a key may do, from where, until when, at what cost, and what a leak would mean: in words.

Pure: from facts to whole sentences, in the language of whoever reads them.
"""

from keys.summaries.facts import Facts, facts_of
from keys.summaries.sentences import (
    Risk,
    Summary,
    credit,
    deletable_kinds,
    pace,
    risk_of,
    summarize,
)
from keys.summaries.widenings import widenings
from keys.summaries.words import rate_in_words

__all__ = [
    "Facts",
    "Risk",
    "Summary",
    "credit",
    "deletable_kinds",
    "facts_of",
    "pace",
    "rate_in_words",
    "risk_of",
    "summarize",
    "widenings",
]
