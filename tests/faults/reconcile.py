"""Holding what clients were told against what the database says in the end."""

from collections.abc import Iterator
from typing import Any

from tests.faults.cast import FEW
from tests.faults.load import CONNECTIONS, UNANSWERED, Load, Tally

# So often the database goes in a scenario at most.
BLOWS = 2


def breaches(load: Load, books: dict[str, Any]) -> list[str]:
    """Return in which ways what every scenario promises was broken; none: it was kept."""
    return [
        *_of_access(load),
        *_of_answers(load),
        *_of_changes(load, books),
        *_of_counts(load, books),
    ]


def measured(load: Load, books: dict[str, Any]) -> str:
    """Return what was measured, in a sentence."""
    answered = sum(each.answered for each in load.tallies.values())
    counted = sum(_counted(books, load, name) for name in load.tallies)
    failed = sum(each.failed for each in load.tallies.values())
    return (
        f"{answered:,} verifications answered, {counted:,} counted, "
        f"{failed:,} broken off or answered 503; "
        f"{load.changes.acknowledged:,} changes acknowledged, "
        f"{len(_missing(load, books)):,} missing; "
        f"{len(load.breaches):,} of {load.attempts:,} intruders let in"
    )


def _of_access(load: Load) -> Iterator[str]:
    for each in load.breaches:
        yield f"Let in: {each}."
    for key in load.changes.lost:
        yield f"Key {key} was refused right after it was issued."


def _of_answers(load: Load) -> Iterator[str]:
    """What fails for a while is 503; 500 would be a mistake of ours."""
    for name, each in {**load.tallies, "changes": load.changes}.items():
        if each.statuses["500"]:
            yield f"{name}: {each.statuses['500']} answered 500."


def _of_changes(load: Load, books: dict[str, Any]) -> Iterator[str]:
    if not load.changes.acknowledged:
        yield "Nothing was changed."
    yield from _missing(load, books)
    for problem in books["broken"]:
        yield f"A chain of the audit trail is broken: {problem}"


def _missing(load: Load, books: dict[str, Any]) -> list[str]:
    changes, events = load.changes, set(books["events"])
    expected = {
        "issued": changes.issued,
        "disabled": changes.disabled,
        "revoked": changes.revoked,
    }
    missing = [
        f"No event tells that key {key} was {what}."
        for what, keys in expected.items()
        for key in keys
        if f"apikey.{what} {key}" not in events
    ]
    for key in changes.issued:
        state = books["keys"].get(str(key), ["gone"])[0]
        if key in changes.unsure:
            continue
        wanted = "revoked" if key in changes.revoked else "works"
        if key in changes.disabled:
            wanted = "disabled"
        if state != wanted:
            missing.append(f"Key {key} is to be {wanted}, and is {state}.")
    return missing


def _of_counts(load: Load, books: dict[str, Any]) -> Iterator[str]:
    for name, tally in load.tallies.items():
        counted = _counted(books, load, name)
        if not tally.answered:
            yield f"Nobody was answered about {name}."
        uncertain = _uncertain(tally)
        if not tally.answered <= counted <= tally.answered + uncertain:
            yield f"{name}: {tally}, counted {counted}."
        accepted = _uses(books, load, name).get("VALID", 0)
        if not tally.accepted <= accepted <= tally.accepted + uncertain:
            yield f"{name}: {tally}, counted as accepted {accepted}."
        spent = books["keys"][str(load.cast["keys"][name][0])][1]
        if spent != accepted:
            yield f"{name}: {accepted} uses cost {spent}."
        if name == "few" and accepted > FEW:
            yield f"Of {FEW} uses, {accepted} were had."


def _uncertain(tally: Tally) -> int:
    """Return of how many uses nobody knows whether they were counted."""
    # What is charged may be committed when the database goes; then 503 is answered.
    charged = min(tally.statuses["503"], BLOWS * CONNECTIONS)
    return tally.statuses[UNANSWERED] + charged


def _counted(books: dict[str, Any], load: Load, name: str) -> int:
    return sum(_uses(books, load, name).values())


def _uses(books: dict[str, Any], load: Load, name: str) -> dict[str, int]:
    return books["uses"].get(str(load.cast["keys"][name][0]), {})
