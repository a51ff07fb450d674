"""Writes the web app's types from the Python declarations of what it is served.

Run it after a change of these: PYTHONPATH=src python web/document_types.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "torchlurk"
TYPES = ROOT / "web" / "src" / "types"

DECLARED = {
    "resources/contents.py": "documents",
    "resources/unit_contents.py": "documents",
    "server/live/contents.py": "answers",
}
"""By file of declarations, the file of types that is made from it, and from others."""

PLAIN = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "Any": "unknown", "None": "null"}
WIDTH = 140


def main() -> None:
    """Writes all files of types."""
    TYPES.mkdir(exist_ok=True)
    for path, text in written().items():
        path.write_text(text)


def written() -> dict[Path, str]:
    """What each file of types holds."""
    return {TYPES / f"{name}.ts": _types(name) for name in dict.fromkeys(DECLARED.values())}


def _types(name: str) -> str:
    sources = [PACKAGE / source for source, made in DECLARED.items() if made == name]
    body = [statement for source in sources for statement in ast.parse(source.read_text()).body]
    told = " and ".join(source.relative_to(ROOT).as_posix() for source in sources)
    head = f"/** Made by web/document_types.py from {told}: change that, then run it. */"
    imports, borrowed = _imported(name, body)
    own = [text for statement, comment in _commented(body) if (text := _declaration(statement, comment))]
    return "\n\n".join(["\n".join([head, *imports]), *dict.fromkeys(borrowed), *own]) + "\n"


def _imported(name: str, body: list[ast.stmt]) -> tuple[list[str], list[str]]:
    """What comes from another file of types, and types that other modules of the package name."""
    imports, borrowed = [], []
    for statement in body:
        if not isinstance(statement, ast.ImportFrom) or not (statement.module or "").startswith("torchlurk."):
            continue
        names = [one.name for one in statement.names]
        source = "/".join(statement.module.split(".")[1:]) + ".py"
        if DECLARED.get(source) == name:
            continue
        if source in DECLARED:
            imports.append(f'import type {{ {", ".join(names)} }} from "./{DECLARED[source]}";')
            continue
        for other, comment in _commented(ast.parse((PACKAGE / source).read_text()).body):
            if isinstance(other, ast.Assign) and _name(other.targets[0]) in names:
                borrowed.append(_declaration(other, comment))
    return imports, borrowed


def _commented(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Each statement with the text that stands below it."""
    for statement, below in zip(body, [*body[1:], None], strict=True):
        yield statement, _text(below)


def _text(statement: ast.stmt | None) -> str:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _declaration(statement: ast.stmt, comment: str) -> str:
    """An interface or a named type; nothing for other statements."""
    if isinstance(statement, ast.ClassDef):
        bases = [_public(_name(base)) for base in statement.bases if _name(base) != "TypedDict"]
        keys = [
            (one.target.id, one.annotation, text)
            for one, text in _commented(statement.body)
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        ]
        return _interface(statement.name, bases, keys, ast.get_docstring(statement) or "")
    if not isinstance(statement, ast.Assign) or not (name := _name(statement.targets[0])):
        return ""
    if isinstance(statement.value, ast.Call):
        (_, fields) = statement.value.args
        assert isinstance(fields, ast.Dict)
        keys = [(key.value, value, "") for key, value in zip(fields.keys, fields.values, strict=True)]
        return _interface(name, [], keys, comment)
    return f"{_comment(comment)}{_exported(name)}type {_public(name)} = {_type(statement.value)};"


def _interface(name: str, bases: list[str], keys: list[tuple[str, ast.expr, str]], comment: str) -> str:
    lines = []
    for key, annotation, text in keys:
        if key == "__extra_items__":
            lines.append(f"  [more: string]: {_type(annotation)};")
            continue
        optional = isinstance(annotation, ast.Subscript) and _name(annotation.value) == "NotRequired"
        lines.append(f"{_comment(text, '  ')}  {key}{'?' if optional else ''}: {_type(annotation)};")
    extends = f" extends {', '.join(bases)}" if bases else ""
    return "\n".join([f"{_comment(comment)}{_exported(name)}interface {_public(name)}{extends} {{", *lines, "}"])


def _type(of: ast.expr) -> str:
    if isinstance(of, ast.BinOp):
        return f"{_type(of.left)} | {_type(of.right)}"
    if isinstance(of, ast.Constant):
        return "null" if of.value is None else f'"{of.value}"'
    if isinstance(of, ast.Name):
        return PLAIN.get(of.id, _public(of.id))
    assert isinstance(of, ast.Subscript)
    parts = of.slice.elts if isinstance(of.slice, ast.Tuple) else [of.slice]
    inner = [_type(part) for part in parts]
    match _name(of.value):
        case "list":
            return f"({inner[0]})[]" if "|" in inner[0] else f"{inner[0]}[]"
        case "tuple":
            return f"[{', '.join(inner)}]"
        case "dict":
            return f"Record<{', '.join(inner)}>"
        case "Literal":
            return " | ".join(inner)
        case "NotRequired":
            return inner[0]
    raise SystemExit(f"{ast.unparse(of)}: no TypeScript for {_name(of.value)}; add it to web/document_types.py")


def _name(of: ast.expr) -> str:
    return of.id if isinstance(of, ast.Name) else ""


def _public(name: str) -> str:
    return name.lstrip("_")


def _exported(name: str) -> str:
    return "" if name.startswith("_") else "export "


def _comment(text: str, margin: str = "") -> str:
    """A comment on one line, or as many as it has."""
    lines = [line.strip() for line in text.strip().splitlines()]
    if not lines:
        return ""
    if len(lines) == 1 and len(margin) + len(lines[0]) < WIDTH:
        return f"{margin}/** {lines[0]} */\n"
    return "\n".join([f"{margin}/**", *(f"{margin} * {line}".rstrip() for line in lines), f"{margin} */"]) + "\n"


if __name__ == "__main__":
    main()
