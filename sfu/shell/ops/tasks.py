"""The tasks that are running, for operators: as a tree in text, and as a number.

The tree of tasks *is* the structure of the server (see `sfu.shell.server`): who is in which nursery says what
lives as long as what, and where each one waits says what it is waiting for.
"""

from collections.abc import Iterator
from types import FrameType
from typing import Final

import trio

Task = trio.lowlevel.Task

_TRAPS: Final = "trio._core._traps"
"""Where every task that waits is in the end."""


def count_tasks(task: Task) -> int:
    """Return how many tasks live in the nurseries of `task`, it included."""
    return 1 + sum(count_tasks(child) for nursery in task.child_nurseries for child in nursery.child_tasks)


def task_tree() -> str:
    """Return all tasks of this Trio run, one per line: name, where it is in our code, and where it waits."""
    root = trio.lowlevel.current_root_task()
    assert root is not None, "whoever asks is a task, so there is a root"
    return "\n".join([_line(root), *_branches(root, "")]) + "\n"


def _branches(task: Task, indent: str) -> Iterator[str]:
    children = [
        # Nurseries are nested, outermost first; a task lives in the innermost that it was started in.
        (level, child)
        for level, nursery in enumerate(task.child_nurseries)
        for child in sorted(nursery.child_tasks, key=lambda child: child.name)
    ]
    for index, (level, child) in enumerate(children):
        last = index == len(children) - 1
        nursery = f"[{level}] " if len(task.child_nurseries) > 1 else ""
        yield f"{indent}{'└─' if last else '├─'} {nursery}{_line(child)}"
        yield from _branches(child, indent + ("   " if last else "│  "))


def _line(task: Task) -> str:
    frames = [place for place in task.iter_await_frames() if _module(place[0]) != _TRAPS]
    ours = [place for place in frames if _module(place[0]).startswith("sfu.")]
    # What stands innermost is mostly Trio's own sleeping or reading; what was asked for, ours says.
    places = [_place(*place) for place in dict.fromkeys([*ours[-1:], *frames[-1:]])]
    return " ".join([task.name.strip(), *(f"@ {place}" for place in places)])


def _place(frame: FrameType, line: int) -> str:
    return f"{_module(frame)}.{frame.f_code.co_qualname}:{line}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))
