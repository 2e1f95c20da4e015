"""The imports between the add-on's modules and rooms, read from the source, and the drawing of them in the docs."""

import ast
import re

TOP = ("core", "streaming", "nodes", "operators", "panels", "addon.py")
MOST_FILES = 12  # in a folder
MOST_LINES = 300  # in a file
IN_CORE = {"__init__.py", "settings.py", "errors.py", "pipeline.py"}  # and no more than three others
ROW = re.compile(r"^\| `([\w/]+)` \|", re.MULTILINE)
ARROW = re.compile(r"^    (\w+) --> (\w+)$", re.MULTILINE)


def modules(root):
    """Dotted name -> file, of everything that is installed with the add-on."""
    found = {}
    for top in TOP:
        for file in [root / top] if top.endswith(".py") else sorted((root / top).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(root):
    """Module -> the add-on's modules that it imports, at the top, in a function, or only for types."""
    names = modules(root)
    return {name: _imports_of(name, file, names) for name, file in names.items()}


def _imports_of(name, file, names):
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = package[: len(package) - node.level + 1] + ([node.module] if node.module else [])
        elif (node.module or "").split(".")[0] == "da3_blender":
            base = node.module.split(".")[1:]
        else:
            continue
        for alias in node.names:
            found |= {n for n in (".".join([*base, alias.name]), ".".join(base)) if n in names}
    # ``from .room import module`` runs the room's ``__init__`` too, but asks nothing of it
    return {n for n in found if n != name and not any(other.startswith(n + ".") for other in found)}


def circles(graph):
    """The sets of modules that reach each other."""
    reached = {name: _reached(graph, name) for name in graph}
    groups = {frozenset(o for o in reached[n] if n in reached[o]) | {n} for n in graph if n in reached[n]}
    return sorted(sorted(group) for group in groups)


def _reached(graph, start):
    seen, todo = set(), [start]
    while todo:
        for name in graph.get(todo.pop(), ()):
            if name not in seen:
                seen.add(name)
                todo.append(name)
    return seen


def order(page):
    """The rooms from top to bottom, as the table in docs/architecture.md has them."""
    return [name.replace("/", ".") for name in ROW.findall(page)]


def room(module, rooms):
    """The room that a module is in; None where the table has none."""
    fitting = [name for name in rooms if module == name or module.startswith(name + ".")]
    return max(fitting, key=len, default=None)


def upward(graph, rooms):
    """The imports that go against the order of the rooms, and modules without a room."""
    wrong = [f"{name} is in no room" for name in graph if room(name, rooms) is None and name not in ("core",)]
    for name, targets in graph.items():
        for target in targets:
            here, there = room(name, rooms), room(target, rooms)
            if here and there and rooms.index(there) < rooms.index(here):
                wrong.append(f"{name} imports {target}")
    return sorted(wrong)


def between_rooms(graph, rooms):
    """Room -> the rooms that it imports from."""
    found = {name: set() for name in rooms}
    for name, targets in graph.items():
        here = room(name, rooms)
        if here:
            found[here] |= {there for there in (room(target, rooms) for target in targets) if there and there != here}
    return found


def needed_arrows(rooms_graph):
    """The arrows from which all others follow: what the drawing shows."""
    return {
        (here, there)
        for here, targets in rooms_graph.items()
        for there in targets
        if not any(there in _reached(rooms_graph, other) for other in targets - {there})
    }


def drawn(page):
    """The arrows of the drawing; a room's name there has ``_`` for ``/``."""
    names = {name.replace(".", "_"): name for name in order(page)}
    return {(names.get(a, a), names.get(b, b)) for a, b in ARROW.findall(page)}


def drawing(arrows):
    """Arrows as the drawing has them."""
    return "\n".join(sorted(f"    {a.replace('.', '_')} --> {b.replace('.', '_')}" for a, b in arrows))


def crowded(root, tops=(*TOP[:-1], "tools")):
    """Folders with too many Python files, and what lies in ``core`` itself beside what may."""
    folders = {file.parent for top in tops for file in (root / top).rglob("*.py")}
    counts = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    wrong = [f"{folder.relative_to(root)} has {n} files" for folder, n in counts.items() if n > MOST_FILES]
    others = {file.name for file in (root / "core").glob("*.py")} - IN_CORE
    return sorted(wrong + ([f"core has {sorted(others)}"] if len(others) > 3 else []))


def too_long(root, tops=(*TOP[:-1], "tools")):
    """Files of more lines than a reader takes in."""
    files = [file for top in tops for file in sorted((root / top).rglob("*.py"))]
    counts = {file: len(file.read_text("utf-8").splitlines()) for file in files}
    return [f"{file.relative_to(root)} has {n} lines" for file, n in counts.items() if n > MOST_LINES]
