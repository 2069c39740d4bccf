"""The one console, and the one progress bar, through which the package talks to its user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

CONSOLE = Console()


class _RateColumn(ProgressColumn):
    """Units per second, averaged by rich over the last seconds."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(
            f"{speed:.1f} {self._unit}/s" if speed else f"- {self._unit}/s",
            style="progress.data.speed",
        )


@contextmanager
def progress(description: str, total: int | float | None, unit: str) -> Iterator[Callable[..., None]]:
    """Show one progress bar with a rate while a long job runs.

    Args:
        description: What is being done, as a verb in -ing form.
        total: How many units there are; None where nobody can know.
        unit: Plural name of the unit, shown behind the rate.

    Yields:
        A function that advances the bar, by 1 or by its argument.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=CONSOLE) as bar:
        task = bar.add_task(description, total=total)

        def advance(amount: int | float = 1) -> None:
            bar.advance(task, amount)

        yield advance
