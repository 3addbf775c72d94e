#!/usr/bin/env python3
"""Runs the table of expressions on JavaRosa and lists where it differs: a development check, not part of tests/run.

    tests/conformance/javarosa/check.py ODK_Validate.jar [expressions.jsonl]

The jar is in the pyxform package: pip download pyxform; unzip; pyxform/validators/odk_validate/bin/ODK_Validate.jar.
Needs Java 17. A case with "decision" is one where the dialect decides otherwise (xlsform.md 1.4, 1.5); all others must agree.
"""

import base64
import json
import math
import pathlib
import re
import subprocess
import sys
from xml.sax.saxutils import escape

HERE = pathlib.Path(__file__).parent
ZONE = "GMT-07:00"
XSD = {"int": "int", "decimal": "decimal", "date": "date", "time": "time", "datetime": "dateTime", "geopoint": "geopoint",
       "geotrace": "geotrace", "geoshape": "geoshape"}


class Node:
    def __init__(self, name, kind, parent):
        self.name, self.kind, self.parent, self.children = name, kind, parent, {}

    def chain(self):
        return (self.parent.chain() if self.parent else []) + [self]

    def path(self):
        return "".join("/" + n.name for n in self.chain())

    def child(self, name, kind):
        return self.children.setdefault(name, Node(name, kind, self))


def schema(context):
    root = Node("data", "group", None)

    def add(parent, json_object):
        for name, value in json_object.items():
            if name.startswith("@"):
                continue
            if isinstance(value, list):
                node = parent.child(name, "repeat")
                for item in value:
                    add(node, item)
            elif isinstance(value, dict):
                add(parent.child(name, "group"), value)
            else:
                parent.child(name, "leaf")

    add(root, context)
    steps = [re.fullmatch(r"([^\[]+)(?:\[(\d+)\])?", s).groups() for s in context.get("@self", "/data").strip("/").split("/")]
    node = root
    for i, (name, _) in enumerate(steps[1:], 2):
        node = node.child(name, "leaf" if i == len(steps) else "group")
    self_ref = " ".join(n + (f":{int(index) - 1}" if index else "") for n, index in steps)
    return root, node, self_ref


def find(node, name):
    found = [node] if node.name == name else []
    for child in node.children.values():
        found += find(child, name)
    return found


def expand(expression, root, asker):
    """${name} to paths, as pyxform does."""
    absolute, filters = set(), []
    for call in re.finditer(r"indexed-repeat\(", expression):
        depth, argument, at = 0, 0, call.end()
        while at < len(expression) and depth >= 0:
            sign = expression[at]
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(sign, 0)
            argument += sign == "," and depth == 0
            if argument in (0, 1, 3, 5, 7, 9):
                absolute.add(at)
            at += 1
    if re.search(r"instance\s*\(", expression):
        depth = 0
        for at, sign in enumerate(expression):
            depth += {"[": 1, "]": -1}.get(sign, 0)
            if depth > 0:
                filters.append(at)

    def path(match):
        nodes = find(root, match[1])
        if len(nodes) != 1:
            raise LookupError(match[1])
        (node,) = nodes
        if match.start() not in absolute:
            mine, its = asker.chain(), (node.parent.chain() if node.parent else [])
            common = [a for a, b in zip(mine, its) if a is b]
            if any(n.kind == "repeat" for n in common):
                up = "/".join([".."] * (len(mine) - len(common)))
                down = "".join("/" + n.name for n in node.chain()[len(common):])
                prefix = "current()/" if match.start() in filters else ""
                return f" {prefix}{up}{down} "
        return f" {node.path()} "

    return re.sub(r"\$\{([^}]*)\}", path, expression)


def form(context, root):
    types = context.get("@types", {})
    binds, body = [], []

    def leaf_bind(node):
        kind = types.get(node.name, "text")
        binds.append(f'<bind nodeset="{node.path()}" type="{XSD.get(kind, "string")}"/>')
        choices = context.get("@choices", {}).get(node.name)
        if kind in ("select_one", "select_multiple") or choices:
            items = "".join(f"<item><label>{escape(c.get('label', ''))}</label><value>{escape(c['name'])}</value></item>"
                            for c in choices or [{"name": "x", "label": "X"}])
            control = "select" if kind == "select_multiple" else "select1"
            return f'<{control} ref="{node.path()}"><label>q</label>{items}</{control}>'
        return f'<input ref="{node.path()}"><label>q</label></input>'

    def controls(node):
        parts = []
        for child in node.children.values():
            if child.kind == "leaf":
                parts.append(leaf_bind(child))
            elif child.kind == "group":
                parts.append(f'<group ref="{child.path()}"><label>g</label>{controls(child)}</group>')
            else:
                parts.append(f'<group ref="{child.path()}"><label>r</label><repeat nodeset="{child.path()}">'
                             f"{controls(child)}</repeat></group>")
        return "".join(parts)

    def data(node, json_object, templates=True):
        """Templates stand once: at the top, and within the templates of outer repeats."""
        parts = []
        for child in node.children.values():
            value = json_object.get(child.name)
            if child.kind == "leaf":
                text = value if isinstance(value, str) else "" if value is None else str(value)
                parts.append(f"<{child.name}>{escape(text)}</{child.name}>")
            elif child.kind == "group":
                parts.append(f"<{child.name}>{data(child, value or {}, templates)}</{child.name}>")
            else:
                if templates:
                    parts.append(f'<{child.name} jr:template="">{data(child, {})}</{child.name}>')
                for item in value or []:
                    parts.append(f"<{child.name}>{data(child, item, False)}</{child.name}>")
        return "".join(parts)

    body = controls(root)
    instances, used = "", ""
    for name, items in context.get("@instances", {}).items():
        rows = "".join("<item>" + "".join(f"<{k}>{escape(v)}</{k}>" for k, v in item.items()) + "</item>" for item in items)
        # JavaRosa reads only instances that some expression of the form uses
        binds.append(f"""<bind nodeset="/data/used_{name}" calculate="count(instance('{name}')/root/item)"/>""")
        used += f"<used_{name}/>"
        instances += f'<instance id="{name}"><root>{rows}</root></instance>'
    version = f' version="{escape(context["@version"])}"' if "@version" in context else ""
    return (f'<h:html xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml" '
            f'xmlns:jr="http://openrosa.org/javarosa"><h:head><h:title>t</h:title><model><instance>'
            f'<data id="t"{version}>{data(root, context)}{used}</data></instance>{instances}{"".join(binds)}</model></h:head>'
            f"<h:body>{body}</h:body></h:html>")


def b64(text):
    return base64.b64encode(text.encode()).decode()


def unb64(text):
    return base64.b64decode(text).decode()


def run(jar, cases):
    lines, answers = [], {}
    for case in cases:
        context = case.get("context", {})
        root, asker, self_ref = schema(context)
        try:
            expression = expand(case["expression"], root, asker)
        except LookupError as error:
            answers[case["id"]] = {"err": f"no such name {error}"}
            continue
        lines.append(" ".join([b64(str(case["id"])), b64(form(context, root)), b64(expression), b64(self_ref)]))
    command = ["java", f"-Duser.timezone={ZONE}", "-Duser.language=en", "-cp", jar, str(HERE / "Evaluate.java")]
    result = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(result.stderr[-3000:])
    for line in result.stdout.splitlines():
        case_id, status, *fields = line.split(" ")
        if status == "ok":
            answers[unb64(case_id)] = {"s": unb64(fields[0]), "n": unb64(fields[1]), "b": fields[2] == "true"}
        else:
            answers[unb64(case_id)] = {"err": unb64(fields[0])}
    return answers


def number(value):
    return float(value.replace("Infinity", "inf")) if isinstance(value, str) else float(value)


def same_number(a, b):
    a, b = number(a), number(b)
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= 1e-12 * max(1.0, abs(a), abs(b))


def agree(case, theirs):
    if "err" in case or "err" in theirs:
        return ("err" in case) == ("err" in theirs)
    return case["s"] == theirs["s"] and same_number(case["n"], theirs["n"]) and case["b"] == theirs["b"]


def main():
    jar = sys.argv[1]
    table = sys.argv[2] if len(sys.argv) > 2 else HERE.parent / "expressions.jsonl"
    contexts = json.loads((HERE.parent / "contexts.json").read_text())
    cases = [json.loads(line) for line in pathlib.Path(table).read_text().splitlines() if line.strip()]
    for case in cases:
        case["context"] = contexts[case["context"]] if "context" in case else {}
    compared = [c for c in cases if not c.get("clock")]
    theirs = run(jar, compared)
    agreed = decided = unexplained = 0
    for case in compared:
        answer = theirs.get(case["id"], {"err": "no answer"})
        if agree(case, answer):
            agreed += 1
            if "decision" in case:
                print(f"{case['id']}: agrees, although a decision is noted: {case['decision']}")
            continue
        ours = {k: case[k] for k in ("s", "n", "b", "err") if k in case}
        if "decision" in case:
            decided += 1
            label = "decided: " + case["decision"]
        else:
            unexplained += 1
            label = "UNEXPLAINED"
        print(f"{case['id']}: {case['expression']}\n    here     {ours}\n    JavaRosa {answer}\n    {label}")
    outside = len(compared) - decided
    print(f"{len(cases)} cases, {len(cases) - len(compared)} of the clock not compared; {agreed} agree, {decided} decided "
          f"differences, {unexplained} unexplained: {100 * agreed / max(1, outside):.2f} % agreement outside the decided")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
