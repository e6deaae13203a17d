"""The task tree: each task is in it once, below the task that opened its nursery."""

import trio
import trio.testing

from sfu.shell.ops.tasks import count_tasks, task_tree


async def sleeper() -> None:
    await trio.sleep_forever()


async def parent(tasks: list[trio.lowlevel.Task]) -> None:
    async with trio.open_nursery() as outer, trio.open_nursery() as inner:
        outer.start_soon(sleeper, name="first")
        inner.start_soon(sleeper, name="second")
        tasks.append(trio.lowlevel.current_task())


async def test_tree_and_count() -> None:
    async with trio.open_nursery() as nursery:
        tasks: list[trio.lowlevel.Task] = []
        nursery.start_soon(parent, tasks)
        await trio.testing.wait_all_tasks_blocked()
        assert count_tasks(tasks[0]) == 3
        lines = task_tree().splitlines()
        nursery.cancel_scope.cancel("the test is over")
    assert lines[0].startswith("<init>")
    index = next(number for number, line in enumerate(lines) if "parent" in line)
    first, second = lines[index + 1 : index + 3]
    assert "├─ [0] first @ " in first
    assert "└─ [1] second @ " in second
    assert first.index("├─") == second.index("└─") == lines[index].index("─") + 2
    assert "trio._timeouts.sleep_forever:" in first
    assert all("_core._traps" not in line for line in lines)


async def test_a_task_that_has_not_started_is_in_the_tree() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleeper, name="not started")
        assert any("not started" in line for line in task_tree().splitlines())
        nursery.cancel_scope.cancel("the test is over")
