#!/usr/bin/env python3
"""Compares `doorstep form check` with pyxform 4.5 and ODK Validate: same acceptance, same tree of names and types.

Needs Java 17 for ODK Validate, and:  pip install -r requirements.txt  (pyxform 4.5, osm-fieldwork 0.23 is only unpacked).

    python3 compare.py --doorstep ../../../target/debug/doorstep [--cases ../cases.md] [--record] [FILE_OR_FOLDER ...]

Without files: the cases of ../cases.md, the workbooks of osm-fieldwork (if `pip download` gives them) and the household
pack. --record writes what pyxform said into cases.md. Differences with a `doorstep:` line in cases.md are listed with its
reason; any other difference makes the exit status 1.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyxform.xls2json_backends import md_table_to_workbook
from pyxform.xls2xform import convert

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
XF = "{http://www.w3.org/2002/xforms}"
SELECTS = {f"{XF}select1": "select1", f"{XF}select": "select", "{http://www.opendatakit.org/xforms}rank": "odk:rank"}


def read_cases(path):
    """Sections `## name` with the lines before their table as `key: value`."""
    cases = []
    for part in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
        name, _, body = part.partition("\n")
        keys = dict(re.findall(r"^(pyxform|doorstep): *(.*)$", body, flags=re.M))
        cases.append((name.strip(), keys, "\n".join(l for l in body.splitlines() if l.startswith("|"))))
    return cases


def pyxform_result(path):
    """(accepted, tree or reason)"""
    try:
        result = convert(xlsform=str(path), validate=True, pretty_print=False)
    except Exception as error:  # anything that stops the conversion is a refusal
        return False, f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return True, tree_of(result.xform)


def tree_of(xform):
    html = ET.fromstring(xform)
    model = html.find("{http://www.w3.org/1999/xhtml}head").find(f"{XF}model")
    root = model.find(f"{XF}instance")[0]
    binds = {b.get("nodeset"): b.get("type", "string") for b in model.findall(f"{XF}bind")}
    body = html.find("{http://www.w3.org/1999/xhtml}body")
    repeats = {e.get("nodeset") for e in body.iter(f"{XF}repeat")}
    groups = {e.get("ref") for e in body.iter(f"{XF}group")}
    selects = {e.get("ref"): SELECTS[e.tag] for e in body.iter() if e.tag in SELECTS}
    tree = []

    def walk(element, path):
        for child in element:
            name = child.tag.rpartition("}")[2]
            here = f"{path}/{name}"
            if name == "meta" or child.get("{http://openrosa.org/javarosa}template") is not None:
                continue
            if here in repeats:
                tree.append((here, "repeat"))
            elif len(child) or here in groups:
                tree.append((here, "group"))
            elif here in selects:
                tree.append((here, selects[here]))
            else:
                tree.append((here, binds.get(here, "string")))
            walk(child, here)

    walk(root, "/" + root.tag.rpartition("}")[2])
    return tree


def doorstep_result(binary, path):
    run = subprocess.run([binary, "form", "check", str(path), "--json"], capture_output=True, text=True, timeout=60)
    if run.returncode not in (0, 1):
        return None, run.stderr[-300:]
    found = json.loads(run.stdout)
    assert found["publishable"] == (run.returncode == 0)
    if found["publishable"]:
        return True, [(n["path"], n["type"]) for n in found["tree"]]
    errors = [p for p in found["problems"] if p["severity"] == "error"]
    return False, "; ".join(f"{p['code']}: {p['message']['en']}" for p in errors[:3])


def osm_workbooks(folder):
    """The workbooks inside the osm-fieldwork package, unpacked without installing it."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "osm-fieldwork==0.23"]
    if subprocess.run(command, capture_output=True).returncode:
        print("osm-fieldwork can't be had; left out")
        return []
    found = []
    for wheel in Path(folder).glob("osm*"):
        with zipfile.ZipFile(wheel) as packed:
            for name in packed.namelist():
                if name.endswith((".xls", ".xlsx")):
                    found.append(Path(packed.extract(name, folder)))
    return found


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--doorstep", default=str(ROOT / "target/debug/doorstep"))
    options.add_argument("--cases", default=str(HERE.parent / "cases.md"))
    options.add_argument("--record", action="store_true")
    options.add_argument("--only", default="")
    options.add_argument("files", nargs="*")
    options = options.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        jobs = []
        if options.files:
            for given in map(Path, options.files):
                jobs += [(str(f), f, {}) for f in (sorted(given.rglob("*.*")) if given.is_dir() else [given])
                         if f.suffix in (".xls", ".xlsx", ".csv")]
        else:
            for name, keys, table in read_cases(Path(options.cases)):
                if options.only and not re.search(options.only, name):
                    continue
                path = Path(scratch) / f"{name}.xlsx"
                md_table_to_workbook(table).save(path)
                jobs.append((name, path, keys))
            if not options.only:
                jobs += [(f.name, f, {}) for f in osm_workbooks(scratch)]
                jobs += [(f.name, f, {}) for f in sorted((ROOT / "client-core/forms/pack").glob("*.xlsx"))]
        with ThreadPoolExecutor(2) as threads:
            theirs = list(threads.map(lambda job: pyxform_result(job[1]), jobs))
            ours = list(threads.map(lambda job: doorstep_result(options.doorstep, job[1]), jobs))

    same, listed, bad, verdicts = 0, [], [], {}
    for (name, _, keys), (yes, tree), (our_yes, our_tree) in zip(jobs, theirs, ours):
        verdicts[name] = "accepted" if yes else "refused"
        if keys.get("pyxform") not in (None, "", verdicts[name]) and not options.record:
            bad.append(f"{name}: cases.md says that pyxform {keys['pyxform']} it, but it {verdicts[name]}")
        if yes == our_yes and (not yes or tree == our_tree):
            same += 1
            if "doorstep" in keys:
                bad.append(f"{name}: a difference is listed, but there is none")
        elif "doorstep" in keys:
            listed.append(f"{name}: pyxform {verdicts[name]}; doorstep {keys['doorstep']}")
        elif yes != our_yes:
            bad.append(f"{name}: pyxform {verdicts[name]} ({tree if not yes else ''}), doorstep "
                       f"{'accepted' if our_yes else 'refused'} ({our_tree if not our_yes else ''})")
        else:
            wrong = [f"{t} / {o}" for t, o in zip(tree + [None] * 9, our_tree + [None] * 9) if t != o]
            bad.append(f"{name}: trees differ: {wrong[:3]}")
    if options.record:
        text = Path(options.cases).read_text(encoding="utf-8")
        for name, verdict in verdicts.items():
            text = re.sub(rf"(^## {re.escape(name)}\n)(pyxform:.*\n)?", rf"\g<1>pyxform: {verdict}\n", text, flags=re.M)
        Path(options.cases).write_text(text, encoding="utf-8")
    print(f"{len(jobs)} workbooks: {same} the same, {len(listed)} listed differences, {len(bad)} others")
    for line in listed:
        print("  listed:", line)
    for line in bad:
        print("  DIFFERS:", line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
