#!/usr/bin/env python3
"""Makes the workbooks of the household pack from their sources; the same sources give the same bytes.

    pip install xlsxwriter
    build.py            writes FORM.xlsx for each folder FORM with a survey.csv
    build.py --check    writes nothing; exit status 1 when a workbook isn't what its sources give

A form's folder holds survey.csv and settings.csv; choices/LIST.csv are shared. A workbook gets the lists that its
survey names, in select questions or as instance('LIST'); lists that the survey takes from a file are made on the phone.
"""

import csv
import io
import re
import sys
from datetime import datetime
from pathlib import Path

import xlsxwriter

PACK = Path(__file__).resolve().parent
MADE = datetime(2026, 1, 1)
SELECT = re.compile(r"^(?:select_one|select_multiple|rank)\s+(\S+)")
INSTANCE = re.compile(r"instance\('([^']+)'\)")
ON_PHONE = re.compile(r"_from_file\s+(\S+)\.csv")
WIDE = {"label::zh": 36, "label::en": 36, "type": 26, "name": 24}


def read(path):
    """Header and rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    header, rows = rows[0], rows[1:]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise SystemExit(f"{path}:{number}: {len(row)} cells, the header has {len(header)}")
    return header, rows


def lists_of(header, rows):
    """Names of the choice lists that a survey uses, in the order of first use."""
    kind = header.index("type")
    on_phone = {name for row in rows for name in ON_PHONE.findall(row[kind])}
    used = {}
    for row in rows:
        select = SELECT.match(row[kind])
        if select:
            used[select.group(1)] = None
        for cell in row:
            used.update(dict.fromkeys(INSTANCE.findall(cell)))
    return [name for name in used if name not in on_phone]


def choices_of(names):
    """The choices sheet for these lists: all columns that any of them has."""
    tables = [(name, *read(PACK / "choices" / f"{name}.csv")) for name in names]
    columns = list(dict.fromkeys(column for _, header, _ in tables for column in header))
    rows = []
    for name, header, lines in tables:
        for line in lines:
            cells = dict(zip(header, line))
            rows.append([name, *(cells.get(column, "") for column in columns)])
    return ["list_name", *columns], rows


def workbook(form):
    """The bytes of a form's workbook."""
    survey = read(form / "survey.csv")
    sheets = {"survey": survey, "choices": choices_of(lists_of(*survey)), "settings": read(form / "settings.csv")}
    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, {"in_memory": True})
    book.set_properties({"title": form.name, "created": MADE})
    bold = book.add_format({"bold": True, "bg_color": "#DDEBF7"})
    block = book.add_format({"bg_color": "#F2F2F2"})
    for name, (header, rows) in sheets.items():
        sheet = book.add_worksheet(name)
        sheet.freeze_panes(1, 2 if name == "survey" else 0)
        for column, title in enumerate(header):
            sheet.set_column(column, column, WIDE.get(title, 18))
            sheet.write_string(0, column, title, bold)
        for number, row in enumerate(rows, 1):
            shade = block if row[0].startswith(("begin", "end")) else None
            for column, cell in enumerate(row):
                if cell:
                    sheet.write_string(number, column, cell, shade)
    book.close()
    return target.getvalue()


def main():
    stale = 0
    for survey in sorted(PACK.glob("*/survey.csv")):
        target = PACK / f"{survey.parent.name}.xlsx"
        made = workbook(survey.parent)
        if target.exists() and target.read_bytes() == made:
            continue
        if "--check" in sys.argv[1:]:
            print(f"{target.name} isn't what its sources give: run build.py")
            stale = 1
        else:
            target.write_bytes(made)
            print(f"wrote {target.name}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
