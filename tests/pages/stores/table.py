"""Loads records into the table that `postrider schema` prints for DuckDB, twice. usage: table.py SQL FILE"""

import sys

import duckdb

from compare import check_all, records

sql = open(sys.argv[1], encoding="utf-8").read()
expected = records(sys.argv[2])
assert "'postrider.jsonl'" in sql
connection = duckdb.connect()
for _ in range(2):
    connection.execute(sql.replace("postrider.jsonl", sys.argv[2]))
rows = connection.execute("SELECT * FROM postrider")
names = [column[0] for column in rows.description]
check_all(expected, (dict(zip(names, row)) for row in rows.fetchall()))
print(len(expected))
