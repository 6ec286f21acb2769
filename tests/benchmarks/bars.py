"""The bars that figures are held to: ratios within one table."""

from collections.abc import Iterator, Sequence

from tests.benchmarks.tables import Finding, Table

ENGINES = ("SQLite", "PostgreSQL")


def judge(tables: Sequence[Table]) -> list[Finding]:
    """Return what the tables say of each bar that they tell of."""
    found = []
    for table in tables:
        for engine in ENGINES:
            found += _of_gate(table, engine)
            found += _of_drf(table, engine)
            found += _of_growth(table, engine)
    return found


def _at_most(promise: str, found: float, bar: float) -> Finding:
    return Finding(f"{promise}: at most {bar:g} ×", f"{found:.2f} ×", found <= bar)


def _at_least(promise: str, found: float, bar: float) -> Finding:
    return Finding(f"{promise}: at least {bar:g} ×", f"{found:.2f} ×", found >= bar)


def _of_gate(table: Table, engine: str) -> Iterator[Finding]:
    costs = {
        "gate, GET": 1.15,
        "gate, POST": 1.5,
        "gate, GET, 100 key changes/s": 1.25,
    }
    if _is_pinned(table):
        for name, bar in costs.items():
            if (full := f"{name} ({engine})") in table:
                yield _at_most(f"{full}: µs of bare WSGI", table.ratio(full, "total_us"), bar)
        good, garbage = f"gate, GET ({engine})", f"gate, GET, garbage ({engine})"
        if garbage in table:
            ratio = table.ratio(garbage, "total_us", good)
            # Ratios closer to 1 than that are equal here.
            yield _at_most(f"{garbage}: µs of a good key", ratio, 1.05)
        unknown = f"gate, GET, unknown keys ({engine})"
        if unknown in table and engine == "SQLite":
            ratio = table.ratio(unknown, "requests_per_second")
            yield _at_least(f"{unknown}: requests/s of bare WSGI", ratio, 0.75)
    through = f"nginx auth_request to the gate ({engine})"
    if through in table:
        ratio = table.ratio(through, "requests_per_second")
        yield _at_least(f"{through}: requests/s of bare WSGI", ratio, 0.7)


def _of_drf(table: Table, engine: str) -> Iterator[Finding]:
    def named(name: str) -> str:
        return f"DRF, {name} ({engine})"

    nobody, ours = named("no authentication"), named("a key of ours")
    theirs, knox = named("djangorestframework-api-key"), named("django-rest-knox")
    gate = f"gate, GET ({engine})"
    if ours not in table:
        return
    for other, bar in ((theirs, 20), (knox, 25)):
        ratio = table.ratio(other, "total_us", gate)
        yield _at_least(f"{other}: µs of {gate}", ratio, bar)
    kept = table.ratio(ours, "requests_per_second", nobody)
    yield _at_least(f"{ours}: requests/s of {nobody}", kept, 0.8)
    added = table[ours].figure("total_us") - table[nobody].figure("total_us")
    others = table[theirs].figure("total_us") - table[nobody].figure("total_us")
    yield _at_most(f"{ours}: µs added, of what {theirs} adds", added / others, 0.2)


def _of_growth(table: Table, engine: str) -> Iterator[Finding]:
    sizes = [
        each.name
        for each in table.variants
        if each.name.endswith(f" keys ({engine})") and "unknown" not in each.name
    ]
    for name in sizes[1:]:
        ratio = table.ratio(name, "total_us", sizes[0])
        yield _at_most(f"{name}: µs of {sizes[0]}", ratio, 1.2)


def _is_pinned(table: Table) -> bool:
    return all(each.server.is_pinned for each in table.variants)
