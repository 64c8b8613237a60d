"""Declarations of experiments, and the notebooks that they name, with one thing wrong in each."""

import os
import shutil

from workbenches import CHECKOUT, PLAIN, Workbench

from bad_inputs.cases import Case, text
from stability.workbench.spec import SpecError, load_plan

__all__ = ["SPECS", "bench"]

SPECS: list[Case] = []
TYPED = ("i = 1\nf = 1.5\nb = True\ns = 'x'\nl = []\nd = {}\nn = None", "i")
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
DEEP = 5_000


def bench(folder):
    """A workbench with three good notebooks and some telemetry; the caller sets STABILITY_HOME."""
    made = Workbench(folder / "workbench")
    shutil.copytree(CHECKOUT / "data" / "registry", made.folder / "data" / "registry")
    made.notebook("plain.ipynb", PLAIN)
    made.notebook("typed.ipynb", TYPED)
    (made.folder / "cpu.csv").write_bytes(text())
    os.environ["STABILITY_HOME"] = str(made.folder)
    return made


def raw(name, content, *says, file="exp.yaml"):
    """A declaration's bytes."""

    def prepare(folder):
        path = bench(folder).folder / "experiments" / file
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return lambda: load_plan(path)

    SPECS.append(Case(f"spec-{name}", prepare, (file, *says), error=SpecError))


def step(name, body, *says):
    """The body of a single step `a`."""
    raw(f"step-{name}", "steps:\n  a:\n" + "".join(f"    {line}\n" for line in body.splitlines()), *says)


def top(name, lines, *says):
    """Lines beside a good step."""
    raw(f"top-{name}", "steps: {a: {notebook: plain.ipynb}}\n" + lines, *says)


def parameter(name, line, *says):
    """A parameter of the typed notebook."""
    step(f"parameter-{name}", f"notebook: typed.ipynb\nparameters: {line}", *says)


def notebook(name, content, *says, file="broken.ipynb"):
    """A notebook's bytes, or the sources of its cells."""

    def prepare(folder):
        made = bench(folder)
        if isinstance(content, tuple):
            made.notebook(file, content)
        else:
            (made.folder / "notebooks" / file).write_bytes(content)
        path = made.spec({"a": {"notebook": file}})
        return lambda: load_plan(path)

    SPECS.append(Case(f"notebook-{name}", prepare, (file, *says), error=SpecError))


# No YAML, or not what YAML is for.
raw("empty", "", "a mapping")
raw("blanks", "\n\n# nothing yet\n", "a mapping")
raw("list", "- a\n- b\n", "a mapping")
raw("text", "run the nightly things please", "a mapping")
raw("number", "42", "a mapping")
raw("open", "steps: [", "row")
raw("tab", "steps:\n\ta:\n", "row 2", "YAML")
raw("indent", "steps:\n  a:\n    notebook: x\n   needs: []\n", "row 4")
raw("binary", b"\x89PNG\r\n\x1a\n\x00\x00", "UTF-8")
raw("nul", "steps:\n  \x00", "YAML")
raw("utf-16", "steps: {}".encode("utf-16"), "UTF-8")
raw("latin-1", "question: K\u00f6ln".encode("latin-1"), "UTF-8")
raw("twice", "steps:\n  a: {notebook: plain.ipynb}\n  a: {notebook: plain.ipynb}\n", "row 3", "twice")
raw("twice-top", "seed: 1\nsteps: {a: {notebook: plain.ipynb}}\nseed: 2\n", "row 3", "'seed' twice")
raw("tag-python", "steps: !!python/object/apply:os.system ['touch pwned']\n", "row 1")
raw("tag-own", "steps: !run {a: {notebook: plain.ipynb}}\n", "row 1")
raw("two-documents", "steps: {}\n---\nsteps: {}\n", "row 2", "single document")
raw("alias-unknown", "steps: *nothing\n", "row 1")
raw("alias-itself", "steps: &s {a: *s}\n", "itself")
raw("bomb", BOMB, "aliases")
raw("bomb-in-options", BOMB + "steps: {a: {notebook: plain.ipynb, parameters: {x: *j}}}\n", "aliases")
raw("deep", "[" * DEEP + "]" * DEEP, "nested")
raw("deep-mapping", "{a: " * DEEP + "1" + "}" * DEEP, "nested")
raw("list-as-key", "? [a, b]\n: 1\n", "row 1")
raw("template", "steps: {{ jinja }}\n", "row 1")
raw("merge-of-text", "<<: text\nsteps: {}\n", "row 1")
raw("date-invalid", "question: 2026-13-45\nsteps: {a: {notebook: plain.ipynb}}\n", "2026-13-45")
raw("json", '{"steps": {"a": {"notebook": "gone.ipynb"}}}', "gone.ipynb")
for kind, file in {"blank": "my exp.yaml", "semicolon": "a;b.yaml", "dots": "...yaml", "dash": "-exp.yaml"}.items():
    raw(f"name-{kind}", "steps: {a: {notebook: plain.ipynb}}\n", "letters", file=file)

# Fields of the wrong type, unknown ones, impossible ones.
top("unknown", "headlines: []", "did you mean 'headline'")
top("unknown-far", "zzz: 1", "there are")
top("headline-text", "headline: detect.recall", "headline", "list")
top("headline-form", "headline: [Recall]", "group.metric")
top("headline-number", "headline: [1]", "headline")
top("headline-path", "headline: ['../../x.y']", "group.metric")
top("seed-negative", "seed: -1", "seed")
top("seed-huge", "seed: 4294967296", "seed")
top("seed-text", "seed: one", "seed")
top("seed-half", "seed: 1.5", "seed")
top("workers-zero", "workers: 0", "workers")
top("workers-many", "workers: 100000", "workers")
top("workers-text", "workers: two", "workers")
top("question-list", "question: [a]", "question")
top("dataset-unknown", "dataset: simulatd", "did you mean 'simulated'")
top("dataset-number", "dataset: 5", "dataset")
top("dataset-list", "dataset: [sample]", "dataset")
top("dataset-key", "dataset: {nmae: sample}", "one of 'name'", "got only nmae")
top("dataset-nameless", "dataset: {options: {}}", "'dataset'", "one of 'name'")
top("dataset-option", "dataset: {name: files, options: {pth: cpu.csv}}", "did you mean 'path'")
top("dataset-options-list", "dataset: {name: files, options: [path]}", "dataset.options")
top("dataset-options-number", "dataset: {name: files, options: {1: a}}", "dataset")
top("dataset-path-number", "dataset: {name: files, options: {path: 5}}", "dataset", "path")
top("dataset-path-list", "dataset: {name: files, options: {path: [5]}}", "dataset", "path")
top("dataset-path-empty", "dataset: {name: files, options: {path: ''}}", "dataset")
top("dataset-no-path", "dataset: {name: files}", "path")
top("dataset-file-missing", "dataset: {name: files, options: {path: cpy.csv}}", "did you mean 'cpu.csv'")
top("dataset-reader-text", "dataset: {name: files, options: {path: cpu.csv, reader: wide}}", "reader")
top(
    "dataset-reader-option",
    "dataset: {name: files, options: {path: cpu.csv, reader: {timezon: UTC}}}",
    "did you mean 'timezone'",
)
top(
    "dataset-reader-choice",
    "dataset: {name: files, options: {path: cpu.csv, reader: {duplicates: fist}}}",
    "did you mean 'first'",
)
top("dataset-faults-list", "dataset: {name: files, options: {path: cpu.csv, faults: [a]}}", "faults")
top("dataset-faults-missing", "dataset: {name: files, options: {path: cpu.csv, faults: f.csv}}", "f.csv")
top("dataset-date", "dataset: {name: files, options: {path: 2026-01-01}}", "dataset")
top("dataset-nan", "dataset: {name: files, options: {path: cpu.csv, reader: {scale: {cpu_ratio: .nan}}}}", "JSON")
top("dataset-nab-pattern", "dataset: {name: nab, options: {files: nothing/*}}", "a pattern of")
top("dataset-nab-number", "dataset: {name: nab, options: {files: 5}}", "a pattern of", "5")
raw("no-steps", "question: why\n", "steps")
raw("steps-empty", "steps: {}\n", "steps")
raw("steps-list", "steps: [a]\n", "steps")
raw("steps-none", "steps:\n", "steps")
raw("step-none", "steps:\n  a:\n", "steps.a")
raw("step-text", "steps: {a: plain.ipynb}\n", "steps.a")
for kind, name in {
    "upper": "A",
    "blank": "a b",
    "slash": "a/b",
    "up": "../a",
    "digit": "1a",
    "dot": "a.b",
    "bracket": "a[1]",
    "nothing": "",
    "umlaut": "\u00e4",
    "long": "a" * 300,
    "newline": "a\\nb",
}.items():
    raw(f"step-name-{kind}", f'steps: {{"{name}": {{notebook: plain.ipynb}}}}\n', "a step name")
raw("step-name-number", "steps: {1: {notebook: plain.ipynb}}\n", "steps")
step("unknown", "notebok: plain.ipynb", "notebook")
step("unknown-beside", "notebook: plain.ipynb\nparamters: {}", "did you mean 'parameters'")
step("notebook-none", "notebook:", "notebook")
step("notebook-list", "notebook: [plain.ipynb]", "notebook")
step("notebook-unknown", "notebook: plian.ipynb", "did you mean 'plain.ipynb'")
step("notebook-folder", "notebook: ../notebooks", "a notebook")
step("notebook-empty", "notebook: ''", "notebook")
step("notebook-absolute", "notebook: /etc/passwd", "notebook")
step("notebook-up", "notebook: ../cpu.csv", "notebook")
step("notebook-nul", 'notebook: "a\\0.ipynb"', "notebook")
step("notebook-long", f"notebook: {'x' * 5000}.ipynb", "a notebook that exists")
step("needs-unknown", "notebook: plain.ipynb\nneeds: [b]", "the name of a step", "b")
step("needs-itself", "notebook: plain.ipynb\nneeds: [a]", "without a cycle")
step("needs-text", "notebook: plain.ipynb\nneeds: b", "needs", "list")
step("needs-number", "notebook: plain.ipynb\nneeds: [1]", "needs")
raw(
    "cycle",
    "steps:\n" + "".join(f"  {n}: {{notebook: plain.ipynb, needs: [{m}]}}\n" for n, m in ("ab", "bc", "ca")),
    "->",
)
raw("needs-twice", "steps: {b: {notebook: plain.ipynb}, a: {notebook: plain.ipynb, needs: [b, b]}}\n", "twice")
step("timeout-negative", "notebook: plain.ipynb\ntimeout: -1", "timeout")
step("timeout-zero", "notebook: plain.ipynb\ntimeout: 0", "timeout")
step("timeout-words", "notebook: plain.ipynb\ntimeout: 5min", "timeout")
step("timeout-nan", "notebook: plain.ipynb\ntimeout: .nan", "timeout")
step("timeout-inf", "notebook: plain.ipynb\ntimeout: .inf", "timeout")
step("retries-negative", "notebook: plain.ipynb\nretries: -1", "retries")
step("retries-many", "notebook: plain.ipynb\nretries: 11", "retries")
step("cache-text", "notebook: plain.ipynb\ncache: maybe", "cache")
for kind, body in {
    "number": "3",
    "list": "[1, 2]",
    "text": "{i: abc}",
    "axis-number": "{i: 3}",
    "axis-empty": "{i: []}",
    "axis-none": "{i: }",
    "twice": "{i: [1, 1]}",
    "nothing": "{}",
    "excluded": "{i: [1], exclude: [{i: 1}]}",
    "include-number": "{include: 3}",
    "include-text": "{include: [a]}",
    "axis-type": "{i: [1, a]}",
    "axis-unknown": "{ii: [1]}",
    "axis-reserved": "{seed: [1]}",
    "axis-date": "{s: [2026-01-01]}",
    "axis-nan": "{f: [.nan]}",
    "exclude-unknown": "{i: [1, 2], exclude: [{ii: 1}]}",
    "include-unknown": "{i: [1], include: [{ii: 1}]}",
    "huge": "{i: &v [" + ", ".join(map(str, range(100))) + "], f: *v, n: *v}",
}.items():
    step(f"matrix-{kind}", f"notebook: typed.ipynb\nmatrix: {body}", "steps.a")
step("matrix-clash", "notebook: typed.ipynb\nparameters: {i: 1}\nmatrix: {i: [2]}", "does not set too")
for kind, line in {
    "unknown": "{ii: 1}",
    "int-text": '{i: "1"}',
    "int-flag": "{i: true}",
    "int-float": "{i: 1.5}",
    "float-text": "{f: x}",
    "float-nan": "{f: .nan}",
    "float-inf": "{f: .inf}",
    "flag-int": "{b: 1}",
    "text-int": "{s: 1}",
    "text-date": "{s: 2026-01-01}",
    "none-date": "{n: 2026-01-01}",
    "none-moment": "{n: 2026-01-01T00:00:00Z}",
    "none-set": "{n: !!set {a}}",
    "none-bytes": "{n: !!binary aGVsbG8=}",
    "none-nan": "{n: {deep: [.inf]}}",
    "list-text": "{l: abc}",
    "mapping-list": "{d: [1]}",
    "mapping-number-key": "{d: {1: a}}",
    "list-date": "{l: [2026-01-01]}",
    "reserved-output": "{output: /tmp/x}",
    "reserved-inputs": "{inputs: {}}",
    "reserved-dataset": "{dataset: x}",
    "reserved-options": "{options: {}}",
    "reserved-seed": "{seed: 1}",
    "number-name": "{1: 1}",
    "none": "[i]",
    "injection": "{\"i = __import__('os').system('touch pwned') #\": 1}",
    "ordered": "{n: !!omap [a: 1]}",
    "pairs": "{n: !!pairs [a: 1]}",
}.items():
    parameter(kind, line, "steps.a")
parameter("big", "{i: 1" + "0" * 5000 + "}", "row 4", "no value")

# Notebooks that are none, or do what the runner cannot follow.
notebook("empty", b"", "a Jupyter notebook")
notebook("braces", b"{}", "a Jupyter notebook")
notebook("list", b"[]", "a Jupyter notebook")
notebook("no-json", b"import os\nprint(1)\n", "a Jupyter notebook")
notebook("binary", b"\x89PNG\x00\xff", "a Jupyter notebook")
notebook("cut", b'{"cells": [{"cell_type": "code", "source": ["k = 1"', "a Jupyter notebook")
notebook("conflict", b'<<<<<<< HEAD\n{"cells": []}\n=======\n{"cells": []}\n>>>>>>> x\n', "a Jupyter notebook")
notebook("version-99", b'{"cells": [], "metadata": {}, "nbformat": 99, "nbformat_minor": 0}', "a Jupyter notebook")
notebook("cells-text", b'{"cells": "x", "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "a Jupyter notebook")
notebook(
    "cell-no-type",
    b'{"cells": [{"source": "x"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "a Jupyter notebook",
)
notebook("deep", b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "a Jupyter notebook")
notebook("syntax", ("k = 1", "def f(:"), "Python that parses")
notebook("syntax-parameters", ("k = = 1", "k"), "Python that parses")
notebook(
    "two-runs", ("k = 1", "mlflow.start_run()", "with mlflow.start_run():\n    pass"), "at most one mlflow.start_run()"
)
notebook("null", ("k = 1\0", "k"), "Python that parses")
for kind, source in {
    "call": "import os\nk = os.getcwd()",
    "sum": "k = 1\nm = k + 1",
    "loop": "for k in range(3):\n    pass",
    "unpacked": "a, b = 1, 2",
    "environment": "import os\nk = os.environ['HOME']",
    "annotated": "k: int",
    "changed": "k = 1\nk += 1",
    "attribute": "x.y = 1",
    "index": "x = {}\nx['a'] = 1",
    "f-text": "k = f'{1}'",
    "comprehension": "k = [i for i in range(3)]",
    "print": "k = 1\nprint(k)",
    "set": "k = {1, 2}",
    "bytes": "k = b'x'",
    "nan": "k = 1e999",
    "ellipsis": "k = ...",
    "complex": "k = 1j",
    "walrus": "(k := 1)",
    "condition": "k = 1 if True else 2",
    "function": "def k():\n    pass",
}.items():
    notebook(f"parameters-{kind}", (source, "pass"), "plain assignments of literals")


def _two_cells(folder):
    import nbformat

    made = bench(folder)
    path = made.folder / "notebooks" / "plain.ipynb"
    nb = nbformat.read(path, as_version=4)
    nb.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(nb, path)
    spec = made.spec({"a": {"notebook": "plain.ipynb"}})
    return lambda: load_plan(spec)


def _elsewhere(path):
    def prepare(folder):
        made = bench(folder)
        made.spec({"a": {"notebook": "plain.ipynb"}}, name="nightly")
        return lambda: load_plan(path(made.folder))

    return prepare


SPECS += [
    Case(
        "notebook-two-parameter-cells",
        _two_cells,
        ("plain.ipynb", "one cell tagged 'parameters'", "2 of them"),
        error=SpecError,
    ),
    Case(
        "spec-missing",
        _elsewhere(lambda f: f / "experiments" / "nigthly.yaml"),
        ("nigthly.yaml", "nightly.yaml"),
        error=SpecError,
    ),
    Case("spec-folder", _elsewhere(lambda f: f / "experiments"), ("experiments", "folder"), error=SpecError),
    Case("spec-notebook", _elsewhere(lambda f: f / "notebooks" / "plain.ipynb"), ("plain.ipynb",), error=SpecError),
    Case("spec-path-nul", _elsewhere(lambda f: "a\0b.yaml"), ("b.yaml",), error=SpecError),
    Case("spec-device", _elsewhere(lambda f: "/dev/null"), ("/dev/null",), error=SpecError),
]
