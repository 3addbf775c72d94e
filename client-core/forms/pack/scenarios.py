#!/usr/bin/env python3
"""Runs the scenarios of the pack: what somebody answers in a form, and what must follow from it.

    scenarios.py                          in JavaRosa, the engine of ODK Collect (stands in ODK Validate's jar, which comes with
                                          `pip install pyxform==4.5.0`; Java 17)
    scenarios.py --doorstep PROGRAM       in our own engine, by `PROGRAM form replay`
    scenarios.py --only household         one form

scenarios/FORM.jsonl has one scenario a line: the claim; steps as `form replay` takes them, with the result that must come
(`ok` where nothing is said; `not asked`: the question doesn't apply); then values that must stand in the form, questions
that must be blank, choices that must be offered. Lists that phones make stand in scenarios/lists. `{year-10}` is a year counted from today's, `{age-3-05-01}` the age of
somebody born on the first of May three years ago. Exit status 1 when a claim doesn't hold.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

PACK = Path(__file__).resolve().parent
YEAR = re.compile(r"\{year([+-]\d+)?\}")
AGE = re.compile(r"\{age-(\d+)-(\d\d)-(\d\d)\}")


def filled(text):
    """The text with years and ages counted from today."""
    today = date.today()

    def age(match):
        years, month, day = (int(group) for group in match.groups())
        return str(years - (1 if (today.month, today.day) < (month, day) else 0))

    return AGE.sub(age, YEAR.sub(lambda match: str(today.year + int(match.group(1) or 0)), text))


def read(form):
    for line in (PACK / "scenarios" / f"{form}.jsonl").read_text(encoding="utf-8").splitlines():
        scenario = json.loads(filled(line))
        yield scenario["claim"], scenario["steps"], scenario


def beside(folder):
    """Puts the lists that phones make beside the form."""
    for path in (PACK / "scenarios" / "lists").glob("*.csv"):
        shutil.copy(path, folder)


def in_javarosa(form, scenarios):
    """Results of the steps, values and offered choices of each scenario, as JavaRosa has them."""
    import pyxform.validators.odk_validate as validate
    from pyxform.xls2xform import xls2xform_convert

    jar = Path(validate.__file__).parent / "bin" / "ODK_Validate.jar"
    with tempfile.TemporaryDirectory() as folder:
        target = f"{folder}/form.xml"
        beside(folder)
        xls2xform_convert(str(PACK / f"{form}.xlsx"), target, validate=False, pretty_print=False)
        lines = []
        for _, steps, expected in scenarios:
            lines.append(f"FORM\t{target}")
            lines += [f"ADD\t{s['add_repeat']}" if "add_repeat" in s else f"SET\t{s['set']}\t{s['v']}" for s in steps]
            lines += [f"CHOICES\t{path}" for path in expected.get("choices", {})]
            lines.append("END")
        command = ["java", "-cp", str(jar), str(PACK / "Scenarios.java")]
        run = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, encoding="utf-8", check=False)
    if run.returncode:
        raise SystemExit(run.stderr)
    found = iter(run.stdout.splitlines())
    for _, steps, expected in scenarios:
        results = [next(found).split("\t")[1] for _ in steps]
        choices = {path: next(found).split("\t")[1] for path in expected.get("choices", {})}
        values = {}
        for line in iter(lambda: next(found), "END"):
            _, path, value = line.split("\t")
            values[path] = value
        yield results, values, choices


def in_doorstep(program, form, scenarios):
    """The same, as `form replay` has them."""
    lines = []
    folder = tempfile.TemporaryDirectory()
    beside(folder.name)
    workbook = shutil.copy(PACK / f"{form}.xlsx", folder.name)
    for _, steps, expected in scenarios:
        plain = [{name: value for name, value in step.items() if name != "result"} for step in steps]
        asked = [{"set": path, "v": ""} for path in expected.get("choices", {})]
        lines.append(json.dumps({"form": workbook, "seed": 1, "steps": plain + asked}, ensure_ascii=False))
    command = [program, "form", "replay"]
    run = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, encoding="utf-8", check=False)
    replies = [json.loads(line) for line in run.stdout.splitlines()]
    if run.returncode or len(replies) != len(lines):
        raise SystemExit(f"{form}: {len(replies)} of {len(lines)} replies\n{run.stderr}")
    for (_, steps, expected), reply in zip(scenarios, replies):
        if "values" not in reply:
            raise SystemExit(f"{form}: {reply}")
        offered = dict(zip(expected.get("choices", {}), reply["choices"][len(steps) :]))
        choices = {path: " ".join(names or []) for path, names in offered.items()}
        yield reply["results"][: len(steps)], reply["values"], choices


def same(wanted, found):
    try:
        return float(wanted) == float(found)
    except (TypeError, ValueError):
        return str(wanted).split() == str(found).split()


def faults(steps, expected, results, values, choices):
    for step, result in zip(steps, results):
        wanted = step.get("result", "ok")
        if wanted == "not asked":
            if step["set"] in values:
                yield f"{step['set']} doesn't apply, but stands in the form"
        elif "set" in step and wanted != result:
            yield f"{step['set']} = {step['v']!r} gave {result}, not {wanted}"
    for path, wanted in expected.get("values", {}).items():
        if not same(wanted, values.get(path, "")):
            yield f"{path} is {values.get(path, '')!r}, not {wanted!r}"
    for path in expected.get("blank", []):
        if str(values.get(path, "")).strip():
            yield f"{path} is {values[path]!r}, not blank"
    for path, wanted in expected.get("choices", {}).items():
        if wanted.split() != choices[path].split():
            yield f"{path} offers {choices[path]}, not {wanted}"


def main():
    parser = argparse.ArgumentParser(description="Runs the scenarios of the household pack.")
    parser.add_argument("--doorstep", metavar="PROGRAM")
    parser.add_argument("--only", metavar="FORM")
    chosen = parser.parse_args()
    failed = count = 0
    for path in sorted((PACK / "scenarios").glob("*.jsonl")):
        if chosen.only not in (None, path.stem):
            continue
        scenarios = list(read(path.stem))
        ran = in_doorstep(chosen.doorstep, path.stem, scenarios) if chosen.doorstep else in_javarosa(path.stem, scenarios)
        for (claim, steps, expected), (results, values, choices) in zip(scenarios, ran):
            count += 1
            found = list(faults(steps, expected, results, values, choices))
            failed += bool(found)
            for fault in found:
                print(f"{path.stem}: {claim}: {fault}")
    print(f"{count - failed} of {count} scenarios hold")
    return int(failed > 0 or count == 0)


if __name__ == "__main__":
    sys.exit(main())
