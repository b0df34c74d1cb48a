"""Tasks that several agents work on together."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from backend.cli.connection import market, operator, parse_id_of
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, identity, notes, record, table, words
from backend.domain.errors import Invalid
from backend.domain.joint_tasks import TaskState

if TYPE_CHECKING:
    from rich.table import Table

    from backend.services.joint_tasks import TaskView

verbs = group("Tasks that several agents work on together.")
Task = Annotated[str, typer.Argument(metavar="TASK", help="Id of a joint task.", show_default=False)]


@verbs.command("list", epilog=examples("swarmex joint list", "swarmex joint list --state open --json"))
def list_tasks(
    state: Annotated[TaskState | None, typer.Option(help="Only those.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest joint tasks; those that ended more than a day ago are forgotten."""
    from backend.services import joint_tasks

    with market() as wired:
        tasks = joint_tasks.list_tasks(wired.uow(), state, limit)
    columns = [identity("Task"), words("Kind"), words("State"), figures("Parts"), words("Policy"), words("Why")]
    rows = [(task.id, task.kind, task.state, task.parts, task.policy, task.reason) for task in tasks]
    emit(as_json, [asdict(task) for task in tasks], table(columns, rows))


@verbs.command(epilog=examples("swarmex joint show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --json"))
def show(task: Task, as_json: AsJson = False) -> None:
    """Show a joint task with what each of its parts came to."""
    from backend.services import joint_tasks

    with market() as wired:
        view = joint_tasks.show_task(wired.uow(), parse_id_of("task", task))
    emit(as_json, _document(view), Group(record(asdict(view.task)), "", _parts(view)))


@verbs.command(epilog=examples("swarmex joint audit --wait 600", "swarmex joint audit --wait 0 --json"))
def audit(
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for it; 0: do not.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Let the settlement agents add up every figure of the books together; exit 1 on any difference.

    Each figure is seen at a moment of its own; `swarmex ledger audit` sees all at one, in one process.
    """
    from backend import bootstrap
    from backend.services import joint_audit, joint_tasks

    if not 0 <= wait <= joint_tasks.JOIN_MAX_S:
        accepted = f"0 to {joint_tasks.JOIN_MAX_S:.0f} seconds"
        raise Invalid(f"a wait of {wait:g} s", code="invalid_wait", field="wait", accepted=accepted)
    with market() as wired:
        task = joint_audit.open_audit(wired.uow(), bootstrap.utc_now(), "operator")
        with notes().status("The settlement agents are at it"):
            results = joint_tasks.join(wired.uow, task.id, wait)
    if results is None:
        document: dict[str, Any] = {"id": task.id, "state": task.state, "next": f"swarmex joint show {task.id}"}
        emit(as_json, document, record(document))
        return
    found = joint_audit.report(results)
    document = {"id": task.id, "state": TaskState.DONE, "ok": found.ok, **asdict(found)}
    emit(as_json, document, record(document))
    raise typer.Exit(0 if found.ok else 1)


@verbs.command(epilog=examples("swarmex joint cancel 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --json"))
def cancel(task: Task, as_json: AsJson = False) -> None:
    """End a joint task; what agents have in hand of it counts for nothing."""
    from backend import bootstrap
    from backend.services import joint_tasks

    task_id = parse_id_of("task", task)
    with market() as wired:
        joint_tasks.cancel_task(wired.uow(), bootstrap.utc_now(), operator(), task_id)
    document = {"id": task_id, "state": TaskState.CANCELLED}
    emit(as_json, document, record(document))


def _document(view: "TaskView") -> dict[str, Any]:
    return asdict(view.task) | {"parts": [asdict(part) for part in view.parts]}


def _parts(view: "TaskView") -> "Table":
    columns = [figures("Part"), words("State"), figures("Attempts"), words("By"), words("Result"), words("Error")]
    rows = [
        (part.seq, part.state, part.attempt, part.claimer, json.dumps(part.result, ensure_ascii=False), part.error)
        for part in view.parts
    ]
    return table(columns, rows)
