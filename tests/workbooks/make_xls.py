#!/usr/bin/env python3
"""Makes the small .xls workbooks of this folder (pip install xlwt): `python3 make_xls.py`."""

import datetime
from pathlib import Path

import xlwt

HERE = Path(__file__).parent


def write(name, sheets):
    book = xlwt.Workbook()
    day = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    for title, rows in sheets.items():
        sheet = book.add_sheet(title)
        for r, row in enumerate(rows):
            for c, value in enumerate(row):
                if value != "":
                    sheet.write(r, c, value, day) if isinstance(value, datetime.date) else sheet.write(r, c, value)
    book.save(str(HERE / name))


write("simple.xls", {
    "survey": [
        ["type", "name", "label", "default", "required"],
        ["select_one yn", "q1", "是否", "", ""],
        ["integer", "age", "Age", 18.0, False],
        ["date", "day", "Day", datetime.date(2024, 5, 6), True],
    ],
    "choices": [["list_name", "name", "label"], ["yn", 1, "Yes"], ["yn", 0, "No"]],
})
write("long_texts.xls", {
    "survey": [["type", "name", "label"]]
    + [["text", f"q{i}", f"第{i}问".ljust(399, "长") + "完"] for i in range(1, 61)],
})
