"""Forms drawn at random for replay.py: questions of all kinds in groups and repeats, with logic over what stands before."""

import random

LISTS = {"sex": ["f", "m"], "yn": ["yes", "no"], "crop": ["rice", "maize", "bean"]}
TOWNS = [("t1", "f"), ("t2", "f"), ("t3", "m"), ("t4", "m")]


class Drawn:
    def __init__(self, seed):
        self.rng = random.Random(f"form {seed}")
        self.rows, self.fields, self.repeats, self.count = [], [], [], 0
        self.block((), 0)
        self.choices = [{"list_name": k, "name": n, "label": n.title()} for k, names in LISTS.items() for n in names]
        self.choices += [{"list_name": "town", "name": n, "label": n.upper(), "sex": s} for n, s in TOWNS]

    def name(self, prefix):
        self.count += 1
        return f"{prefix}{self.count}"

    def block(self, scope, depth):
        for _ in range(self.rng.randint(3, 7) if depth else self.rng.randint(8, 16)):
            draw = self.rng.random()
            if draw < 0.12 and depth < 3:
                self.nested("group", scope, depth)
            elif draw < 0.24 and len(scope) < 2 and depth < 3:
                self.nested("repeat", scope, depth)
            else:
                self.question(scope)

    def nested(self, kind, scope, depth):
        name = self.name("g" if kind == "group" else "r")
        row = {"type": f"begin_{kind}", "name": name}
        if self.rng.random() < 0.4:
            row["relevant"] = self.truth(scope)
        if kind == "repeat" and self.rng.random() < 0.3:
            row["repeat_count"] = self.rng.choice(["2", self.small(scope)])
        self.rows.append(row)
        inner = scope + (name,) if kind == "repeat" else scope
        self.block(inner, depth + 1)
        # a group of nothing that is shown is refused, by ODK Validate too
        self.rows.append({"type": "text", "name": self.name("t"), "label": "t"})
        self.fields.append((self.rows[-1]["name"], "text", inner))
        self.rows.append({"type": f"end_{kind}"})
        if kind == "repeat":
            self.repeats.append((name, scope))

    def question(self, scope):
        kind = self.rng.choice(["integer", "integer", "text", "select_one", "select_multiple", "date", "calculate", "calculate",
                                "calculate", "note", "filtered"])
        name = self.name({"calculate": "c", "filtered": "f"}.get(kind, kind[0]))
        row = {"type": kind, "name": name, "label": name}
        field = kind
        if kind == "select_one":
            row["type"] = "select_one " + self.rng.choice(sorted(LISTS))
        elif kind == "select_multiple":
            row["type"] = "select_multiple " + self.rng.choice(sorted(LISTS))
        elif kind == "filtered":
            chosen = self.pick("select_one", scope)
            row.update(type="select_one town", choice_filter=f"sex = ${{{chosen}}}" if chosen else "sex = 'f'")
        elif kind == "calculate":
            field = self.rng.choice(["integer", "integer", "text"])
            row["calculation"] = self.number(scope) if field == "integer" else self.text(scope)
            del row["label"]
        if self.rng.random() < 0.35 and kind != "calculate":
            row["relevant"] = self.truth(scope)
        if kind not in ("calculate", "note"):
            self.rules(row, kind, scope)
        self.rows.append(row)
        if kind != "note":
            self.fields.append((name, field, scope))

    def rules(self, row, kind, scope):
        if self.rng.random() < 0.25:
            row["required"] = self.rng.choice(["yes", self.truth(scope)])
        if self.rng.random() < 0.25:
            row["constraint"] = {"integer": f". >= {self.number(scope)}", "text": "string-length(.) < 5",
                                 "date": ". <= today()"}.get(kind, "not(selected(., 'yes')) or " + self.truth(scope))
        if self.rng.random() < 0.15:
            default = {"integer": [str(self.rng.randint(0, 9)), self.number(scope) + " + 1"], "text": ["x", self.text(scope)],
                       "date": ["2020-03-04", "today()"]}
            if kind in default:
                row["default"] = self.rng.choice(default[kind])

    def pick(self, kind, scope, deep=False):
        def fits(theirs):
            return theirs[: len(scope)] == scope and len(theirs) > len(scope) if deep else theirs == scope[: len(theirs)]

        names = [n for n, k, s in self.fields if k == kind and fits(s)]
        return self.rng.choice(names) if names else None

    def small(self, scope):
        number = self.pick("integer", scope)
        return f"if(${{{number}}} > 3, 3, ${{{number}}})" if number else "1"

    def number(self, scope, depth=0):
        plain = self.pick("integer", scope)
        if depth > 1 or self.rng.random() < 0.3:
            return f"${{{plain}}}" if plain and self.rng.random() < 0.8 else str(self.rng.randint(0, 9))
        deep, text, many = self.pick("integer", scope, True), self.pick("text", scope), self.pick("select_multiple", scope)
        inside = [r for r, s in self.repeats if s == scope]
        options = [f"{self.number(scope, depth + 1)} {self.rng.choice(['+', '*', '-'])} {self.number(scope, depth + 1)}",
                   f"coalesce({self.number(scope, depth + 1)}, 0)",
                   f"if({self.truth(scope, depth + 1)}, {self.number(scope, depth + 1)}, {self.number(scope, depth + 1)})",
                   f"round({self.number(scope, depth + 1)} div {self.number(scope, depth + 1)}, 2)",
                   f"{self.number(scope, depth + 1)} mod 4"]
        options += [f"sum(${{{deep}}})", f"min(${{{deep}}})"] if deep else []
        options += [f"string-length(${{{text}}})"] if text else []
        options += [f"count-selected(${{{many}}})"] if many else []
        options += ["position(..)"] if scope else []
        for repeat in inside:
            options.append(f"count(${{{repeat}}})")
            fields = [n for n, k, s in self.fields if k == "integer" and s == scope + (repeat,)]
            if fields and not scope:
                name = self.rng.choice(fields)
                options.append(f"indexed-repeat(${{{name}}}, ${{{repeat}}}, {self.number(scope, 2)})")
                options.append(f"count(${{{repeat}}}[./{name} > 2])" if self.direct(repeat, name) else "1")
        return self.rng.choice(options)

    def direct(self, repeat, name):
        """True when a field stands in the repeat without groups between."""
        at = next(i for i, row in enumerate(self.rows) if row.get("name") == repeat)
        depth = 0
        for row in self.rows[at + 1:]:
            depth += row["type"].startswith("begin") - row["type"].startswith("end")
            if row.get("name") == name:
                return depth == 0
        return False

    def truth(self, scope, depth=0):
        one, many, text, date = (self.pick(k, scope) for k in ("select_one", "select_multiple", "text", "date"))
        options = [f"{self.number(scope, 2)} {self.rng.choice(['>', '<', '=', '!=', '>=', '<='])} {self.number(scope, 1 + depth)}"]
        options += [f"${{{one}}} = '{self.rng.choice(['f', 'yes', 'rice'])}'", f"${{{one}}} != ''"] if one else []
        options += [f"selected(${{{many}}}, '{self.rng.choice(['no', 'bean', 'm'])}')"] if many else []
        options += [f"${{{text}}} != ''", f"${{{text}}} = 'x'", f"not(${{{text}}})", f"regex(${{{text}}}, '[a-z]+')"] if text else []
        options += [f"${{{date}}} > date('2010-01-01')", f"${{{date}}} = ''"] if date else []
        if depth < 1:
            options.append(f"{self.truth(scope, 1)} {self.rng.choice(['and', 'or'])} {self.truth(scope, 1)}")
            options.append(f"not({self.truth(scope, 1)})")
        return self.rng.choice(options)

    def text(self, scope):
        text, one, deep, date = (self.pick("text", scope), self.pick("select_one", scope), self.pick("text", scope, True),
                                 self.pick("date", scope))
        options = [f"concat('a', {self.number(scope, 1)})", f"if({self.truth(scope)}, 'y', '')"]
        options += [f"concat(${{{text}}}, '-', {self.number(scope, 2)})", f"substr(${{{text}}}, 1)", f"once(${{{text}}})"] if text else []
        options += [f"jr:choice-name(${{{one}}}, '${{{one}}}')", f"string(${{{one}}})"] if one else []
        options += [f"join(',', ${{{deep}}})"] if deep else []
        options += [f"format-date(${{{date}}}, '%Y/%m')"] if date else []
        return self.rng.choice(options)


def form(seed):
    """Survey and choices of the form of this number."""
    drawn = Drawn(seed)
    return drawn.rows, drawn.choices
