"""Asks DuckDB the questions of docs/record.md, and prints the answers as lines of tabs. usage: record.py SQL FILE"""

import sys

import duckdb

sql = open(sys.argv[1], encoding="utf-8").read().replace("postrider.jsonl", sys.argv[2])
load, *questions = sql.split("-- question\n")
connection = duckdb.connect()
connection.execute(load)
for question in questions:
    print("-- answer")
    answer = connection.execute(question)
    for column in answer.description:
        assert column[0].isidentifier(), f"a column without a name: {column[0]}"
    for row in answer.fetchall():
        print("\t".join("" if value is None else str(value) for value in row))
