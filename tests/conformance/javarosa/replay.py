#!/usr/bin/env python3
"""Fills forms by random scripts in JavaRosa and in `doorstep form replay` and lists where the outcomes differ: a development
check, not part of tests/run.

    pip install pyxform==4.5.0 xlsxwriter
    replay.py ODK_Validate.jar DOORSTEP [--seeds 40] [--seed 3] [--only NAME] [--forms 100] [--workbook FILE ...]

The jar is in the pyxform package (pyxform/validators/odk_validate/bin). Needs Java 17. Forms are those of forms.txt, the
workbooks of the pack, and those given. Exit status 1 when a difference is left that decisions.py doesn't explain.
"""

import argparse
import collections
import datetime
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import xlsxwriter
from pyxform.errors import PyXFormError
from pyxform.xls2json_backends import get_xlsform
from pyxform.xls2xform import xls2xform_convert

import decisions
import drawn

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
ZONE = "-07:00"
VALUES = {
    "integer": ["0", "1", "2", "3", "4", "5", "7", "12", "18", "30", "70", "150", "-1", "1001", "6000"],
    "decimal": ["0.5", "2.50", "10", "-3.2", "0.05", "7", "1200.75"],
    "text": ["x", "Li", "a b", "ab1", "f", "x9y", "hello", "t1"],
    "date": ["2020-01-01", "1990-05-17", "2026-02-28", "2090-12-31", "2015-07-09", "1955-11-02"],
    "time": ["08:30:00.000" + ZONE, "23:15:00.000" + ZONE, "12:00:00.000" + ZONE, "07:45", "18:05:30"],
    "datetime": ["2026-05-01T10:20:00.000" + ZONE, "2019-12-31T23:59:00.000" + ZONE, "2026-05-02T08:15:00", "2026-05-02T08:15"],
    "geopoint": ["30.5 104.25 0 0", "9 99.5 12 3"],
    "geotrace": ["1 2 0 0; 3.5 4.25 0 0", "30.1 104.2;30.3 104.4"],
    "geoshape": ["1 2 0 0; 3.5 4.25 0 0; 5 1 0 0; 1 2 0 0"],
    "acknowledge": ["OK"],
    "range": ["0", "2", "4", "0.5"],
    "barcode": ["x1", "690123"],
    "image": ["p.jpg"],
}
ALIASES = {"int": "integer", "string": "text", "select1": "select_one", "trigger": "acknowledge", "photo": "image",
           "gps": "geopoint", "location": "geopoint", "select one": "select_one", "select multiple": "select_multiple"}


def compact():
    """The forms of forms.txt: name, rows of the survey, rows of choices."""
    forms, survey, choices = {}, None, None
    for line in (HERE / "forms.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            survey, choices = [], []
            forms[line[3:].strip()] = (survey, choices)
        elif line.startswith("> "):
            name, *columns = line[2:].strip().split(" ", 1)
            choices.append(choice(name, columns[0]))
        elif line.strip() and not line.startswith("#"):
            head, *columns = [part.strip() for part in line.split(" ; ")]
            kind, _, name = head.rpartition(" ")
            row = {"type": kind or name, "name": name if kind else ""}
            row.update(tuple(part.strip() for part in column.split(":", 1)) for column in columns)
            if kind and not kind.startswith(("calculate", "hidden", "begin")):
                row["label"] = name
            survey.append(row)
    return forms


def choice(list_name, text):
    words, columns = text.split(" "), []
    while words and "=" in words[-1] and len(words) > 1:
        columns.append(tuple(words.pop().split("=", 1)))
    name, _, label = " ".join(words).partition("=")
    return {"list_name": list_name, "name": name, "label": label or name, **dict(reversed(columns))}


def write(path, survey, choices):
    book = xlsxwriter.Workbook(str(path))
    for sheet, rows in (("survey", survey), ("choices", choices))[: 1 + bool(choices)]:
        page = book.add_worksheet(sheet)
        headers = list(dict.fromkeys(key for row in rows for key in row))
        for column, header in enumerate(headers):
            page.write(0, column, header)
            for at, row in enumerate(rows, 1):
                if row.get(header):
                    page.write_string(at, column, row[header])
    book.close()


def read(path):
    """Rows of survey and choices of a workbook."""
    found = get_xlsform(pathlib.Path(path))

    def rows(sheet):
        return [{key.lower().replace(" ", "_"): str(text) for key, text in row.items() if text} for row in sheet or []]

    return rows(found.survey), rows(found.choices)


class Questions:
    """The questions of a form with their paths, for drawing scripts."""

    def __init__(self, survey, choices):
        self.rows = survey
        self.asked, self.repeats = [], []
        self.lists = {}
        for row in choices:
            name = row.get("name") or row.get("value") or ""
            self.lists.setdefault(row.get("list_name", ""), []).append(name[:-2] if name.endswith(".0") else name)
        around = [("data", None)]
        for row in survey:
            kind, name = row.get("type", "").strip(), row.get("name", "").strip()
            words = kind.replace("_", " ").split()
            if not words or row.get("disabled"):
                continue
            if words[0] == "begin":
                counted = bool(row.get("repeat_count"))
                around.append((name, counted if words[1] == "repeat" else None))
                if words[1] == "repeat" and not counted:
                    self.repeats.append(list(around))
            elif words[0] == "end" and len(words) > 1:
                around.pop()
            else:
                self.add(kind, name, row, list(around))

    def add(self, kind, name, row, around):
        kind = ALIASES.get(kind, kind)
        plain = kind.replace(" one", "_one").replace(" multiple", "_multiple").split()
        if plain[0] in ("select_one", "select_multiple", "rank"):
            self.asked.append((plain[0], around, name, self.lists.get(plain[1], VALUES["text"])))
            if "or_other" in kind:
                self.asked[-1][3].append("other") if "other" not in self.asked[-1][3] else None
                self.asked.append(("text", around, name + "_other", VALUES["text"]))
        elif plain[0] == "range":
            whole = "." not in row.get("parameters", "")
            self.asked.append(("range", around, name, [v for v in VALUES["range"] if "." not in v or not whole]))
        elif plain[0].lower() in VALUES and not (row.get("calculation") and not row.get("label")):
            self.asked.append((plain[0].lower(), around, name, VALUES[plain[0].lower()]))

    def draw(self, rng):
        steps = []
        for _ in range(rng.randint(6, 26)):
            if self.repeats and rng.random() < 0.25:
                around = rng.choice(self.repeats)
                steps.append({"add_repeat": place(around[:-1], rng) + "/" + around[-1][0]})
                continue
            if not self.asked:
                break
            kind, around, name, values = rng.choice(self.asked)
            steps.append({"set": place(around, rng) + "/" + name, "v": value(kind, values, rng)})
        return steps


def place(around, rng):
    names = [name if counted is None else f"{name}[{rng.choice((1, 1, 1, 2, 2, 3))}]" for name, counted in around]
    return "/" + "/".join(names)


def value(kind, values, rng):
    if rng.random() < 0.15 or not values:
        return ""
    if kind in ("select_multiple", "rank"):
        names = list(dict.fromkeys(values))
        rng.shuffle(names)
        return " ".join(names[: rng.randint(1, min(3, len(names)))] if kind == "select_multiple" else names)
    return rng.choice(values)


def scripts(forms, seeds):
    for name, (workbook, xform, questions) in forms.items():
        for seed in seeds:
            steps = questions.draw(random.Random(f"{name} {seed}"))
            yield name, {"form": workbook, "seed": seed, "steps": steps}, {"form": xform, "seed": seed, "steps": steps}


def lines(command, inputs):
    text = "".join(json.dumps(line) + "\n" for line in inputs)
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    if len(answers) != len(inputs):
        sys.exit(f"{command[0]}: {len(answers)} answers to {len(inputs)} scripts\n{result.stderr[-3000:]}")
    return answers


def differences(ours, theirs):
    """What differs: (kind, place, ours, theirs)."""
    if "err" in ours or "err" in theirs:
        return [] if "err" in ours and "err" in theirs else [("err", "", ours.get("err"), theirs.get("err"))]
    found = []
    for kind in ("results", "choices"):
        for step, (mine, other) in enumerate(zip(ours[kind], theirs[kind])):
            if mine != other and not (kind == "results" and theirs[kind][step] is None and mine is None):
                found.append((kind, step, mine, other))
    mine, other = set(ours["relevant"]), set(theirs["relevant"])
    found += [("relevant", path, path in mine, path in other) for path in sorted(mine ^ other)]
    for path in sorted(mine & other):
        pair = ours["values"].get(path, ""), theirs["values"].get(path, "")
        if pair[0] != pair[1] and not same_number(*pair):
            found.append(("values", path, *pair))
    return found


def same_number(one, two):
    """10 and 10.0, 0.0003 and 3.0E-4 are the same answer."""
    try:
        return float(one) == float(two)
    except ValueError:
        return False


def prepare(folder, arguments):
    sources = {name: form for name, form in compact().items() if not arguments.only or name in arguments.only}
    sources.update((f"drawn{n}", drawn.form(n)) for n in range(arguments.drawn, arguments.drawn + arguments.forms))
    forms = {}
    for name, (survey, choices) in sources.items():
        write(folder / f"{name}.xlsx", survey, choices)
        forms[name] = (folder / f"{name}.xlsx", Questions(survey, choices))
    books = sorted((ROOT / "client-core/forms/pack").glob("*.xlsx")) + [pathlib.Path(w) for w in arguments.workbook]
    for book in books:
        if not arguments.only or book.stem in arguments.only:
            try:
                forms[book.stem] = (book, Questions(*read(book)))
            except PyXFormError as error:
                print(f"{book.stem}: not read: {error}")
    ready = {}
    for name, (workbook, questions) in forms.items():
        try:
            xls2xform_convert(str(workbook), str(folder / f"{name}.xml"), validate=False, pretty_print=False)
            ready[name] = (str(workbook), str(folder / f"{name}.xml"), questions)
        except Exception as error:  # whatever pyxform says, the form can't be compared
            print(f"{name}: not converted: {str(error)[:200]}")
    return ready


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("jar")
    parser.add_argument("doorstep")
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--workbook", nargs="*", default=[])
    parser.add_argument("--forms", type=int, default=0, help="how many forms to draw at random")
    parser.add_argument("--drawn", type=int, default=0, help="the first of them")
    parser.add_argument("--show", type=int, default=3, help="how many scripts of each form to show")
    parser.add_argument("--visit", action="store_true", help="JavaRosa is asked for choices wherever it goes")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds) if arguments.seed is None else [arguments.seed]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        forms = prepare(folder, arguments)
        run = list(scripts(forms, seeds))
        now = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=7)).strftime("%Y-%m-%dT%H:%M:%S")
        ours = lines([arguments.doorstep, "form", "replay", "--javarosa-counts", "--zone", ZONE, "--now", now], [r[1] for r in run])
        java = ["java", f"-Duser.timezone=GMT{ZONE}", "-Duser.language=en", "-cp", arguments.jar, str(HERE / "Replay.java")]
        theirs = lines(java + ["visit"] * arguments.visit, [r[2] for r in run])
    return report(forms, run, ours, theirs, arguments.show)


def report(forms, run, ours, theirs, show):
    counts, by_form, decided = {"agree": 0, "decided": 0, "unexplained": 0}, {}, collections.Counter()
    for (name, script, _), mine, other in zip(run, ours, theirs):
        found = differences(mine, other)
        reasons = [decisions.explain(forms[name][2].rows, difference) for difference in found]
        left = [difference for difference, reason in zip(found, reasons) if not reason]
        decided.update(reason for reason in reasons if reason)
        verdict = "unexplained" if left else "decided" if found else "agree"
        counts[verdict] += 1
        tally = by_form.setdefault(name, {"agree": 0, "decided": 0, "unexplained": 0})
        tally[verdict] += 1
        if left and tally["unexplained"] <= show:
            print(f"{name}, seed {script['seed']}")
            for i, step in enumerate(script["steps"]):
                print("   ", i, json.dumps(step), mine.get("results", [None] * 99)[i], mine.get("choices", [None] * 99)[i] or "")
            for kind, where, one, two in left[:12]:
                print(f"    {kind} {where}: here {one!r}, JavaRosa {two!r}")
    for name, tally in by_form.items():
        print(f"{name:24} {tally}")
    for reason, times in decided.items():
        print(f"decided, {times} times: {reason}")
    compared = len(run) - counts["decided"]
    print(f"{len(run)} scripts: {counts['agree']} agree, {counts['decided']} decided differences, {counts['unexplained']} unexplained; "
          f"{100 * counts['agree'] / max(1, compared):.2f} % agreement outside the decided")
    return 1 if counts["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
