"""Loads records into DuckDB and pandas, which infer the types, and looks for each value. usage: inferred.py FILE"""

import sys

import duckdb
import pandas

from compare import check, check_all, is_missing, records

path = sys.argv[1]
expected = records(path)

rows = duckdb.connect().execute("SELECT * FROM read_json(?)", [path])
names = [column[0] for column in rows.description]
check_all(expected, (dict(zip(names, row)) for row in rows.fetchall()))

# Otherwise pandas takes the numbers of processes for decimals, and 1.68 for 1.6800000000000002.
frame = pandas.read_json(path, lines=True, precise_float=True, dtype={"procid": str})
rows = frame.to_dict("records")
check_all(expected, ({name: value for name, value in row.items() if not is_missing(value)} for row in rows))

# As columns, `postfix.delay` for one, which have the type of all their values. Where one is missing, integers become
# decimals.
EXACT = 2**53
flat = pandas.json_normalize(expected)
for name in flat.columns:
    for record, value in zip(expected, flat[name].tolist()):
        for part in name.split("."):
            record = record.get(part) if isinstance(record, dict) else None
        if record is None:
            assert is_missing(value), f"{name}: {value!r} for nothing"
        elif isinstance(record, int) and abs(record) > EXACT:
            check(float(record), float(value), name)
        else:
            check(record, value, name)

print(len(expected))
