"""What is up, what is wrong, and what to do."""

from dataclasses import asdict

import typer

from backend.cli.checks import examine
from backend.cli.connection import quiet_logs
from backend.cli.findings import Verdict
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, table, words

EXAMPLES = examples("swarmex doctor", "swarmex doctor --json")


def doctor(as_json: AsJson = False) -> None:
    """Tell what is up, what is wrong, what to do.

    It changes nothing; exit 1 if something is wrong.
    """
    from backend import bootstrap

    settings = bootstrap.settings()
    quiet_logs(settings)
    findings = list(examine(settings))
    healthy = not any(finding.verdict is Verdict.WRONG for finding in findings)
    document = {"ok": healthy, "findings": [asdict(finding) for finding in findings]}
    rows = [(f.verdict, f.what, f.found, f.do or "") for f in findings]
    emit(as_json, document, table([words(""), words("What"), words("Found"), words("What to do")], rows))
    if not healthy:
        raise typer.Exit(1)
