"""A report out of a table: CSV from standard input into SQL, which Python's standard library brings along.

    wasmgrid run examples/report.py --stdin examples/harvest.csv
"""

import csv
import sqlite3
import sys

TABLE = "create table harvest (year integer not null, fruit text not null, kilos real not null, price real not null)"
QUERY = """
    select fruit, sum(kilos) as kilos, sum(kilos * price) as worth, count(distinct year) as years
    from harvest group by fruit order by worth desc
"""


def main() -> None:
    store = sqlite3.connect(":memory:")
    store.execute(TABLE)
    rows = csv.DictReader(sys.stdin)
    try:
        store.executemany("insert into harvest values (:year, :fruit, :kilos, :price)", rows)
    except sqlite3.Error as error:
        sys.exit(f"this is no table of harvests: {error}")  # said on stderr, exit code 1

    print(f"{'fruit':8}{'kilos':>8}{'worth':>10}  years")
    for fruit, kilos, worth, years in store.execute(QUERY):
        print(f"{fruit:8}{kilos:8.1f}{worth:10.2f}  {years}")


if __name__ == "__main__":
    main()
