"""Whether a store has what the JSON says, value by value."""

import json
from datetime import datetime, timezone
from uuid import UUID


def records(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def is_missing(stored):
    if isinstance(stored, dict):
        return all(is_missing(value) for value in stored.values())
    return stored is None or stored != stored or (hasattr(stored, "isoformat") and str(stored) == "NaT")


def check(found, stored, path=""):
    """Fails unless `stored` is `found`, a value of the JSON."""
    if isinstance(found, dict):
        assert isinstance(stored, dict), f"{path}: {stored!r} for {found!r}"
        for name, value in found.items():
            assert name in stored, f"{path}.{name} is not there"
            check(value, stored[name], f"{path}.{name}")
        more = {name: value for name, value in stored.items() if name not in found and not is_missing(value)}
        assert not more, f"{path}: {more}"
    elif isinstance(found, list):
        stored = list(stored)
        assert len(stored) == len(found), f"{path}: {stored!r} for {found!r}"
        for value, kept in zip(found, stored):
            check(value, kept, path)
    elif isinstance(found, bool):
        assert stored is not None and bool(stored) == found, f"{path}: {stored!r} for {found!r}"
    elif isinstance(found, (int, float)):
        assert not isinstance(stored, (str, bool)) and stored == found, f"{path}: {stored!r} for {found!r}"
    elif isinstance(stored, datetime):
        time = datetime.fromisoformat(found)
        kept = stored if stored.tzinfo else stored.replace(tzinfo=timezone.utc)
        assert kept == time, f"{path}: {stored!r} for {found!r}"
    elif isinstance(stored, UUID):
        assert str(stored) == found, f"{path}: {stored!r} for {found!r}"
    else:
        assert isinstance(stored, str) and stored == found, f"{path}: {stored!r} for {found!r}"


def check_all(expected, rows):
    """Checks rows, which are dictionaries, in any order."""
    kept = {str(row["id"]): row for row in rows}
    assert len(kept) == len(expected), f"{len(kept)} of {len(expected)} records"
    for record in expected:
        check(record, kept[record["id"]], record["id"])
