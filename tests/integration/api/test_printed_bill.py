"""The page of a bill as a real browser prints it."""

import re
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Spender
from backend.domain.ids import HoldId
from backend.services import escrow, metering, meters
from tests.integration.api.callers import Callers
from tests.integration.services.usage import OPERATOR
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.slow]

A4_POINTS = (595, 842)
OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests run as root in CI; the page is our own
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pdf-header-footer",
    "--enable-logging=stderr",
)


@pytest.fixture
def chromium() -> str:
    """The browser; skips where there is none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("there is no Chromium: `apt install chromium`")
    return found


def printed(chromium: str, page: Path) -> tuple[list[tuple[int, int]], str]:
    """The sizes in points of the pages that a file is printed on, and what the browser complained of."""
    pdf = page.with_suffix(".pdf")
    command = [chromium, *OPTIONS, f"--user-data-dir={page.parent / 'profile'}", f"--print-to-pdf={pdf}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf.read_bytes())
    complaints = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return [(round(float(width)), round(float(height))) for width, height in boxes], complaints


def bill(callers: Callers, folder: Path, month: datetime) -> Path:
    """The page of the user's draft of a month, as a file."""
    asked = {"account": str(callers.user.account_id), "month": f"{month:%Y-%m}"}
    made = callers.admin.post("/api/v1/invoices", json=asked).json()
    page = folder / "bill.html"
    page.write_text(callers.user.get(f"/api/v1/invoices/{made['id']}/html").text)
    return page


def test_a_short_bill_is_one_page_of_a4_and_loads_nothing(
    callers: Callers, market: Swarmex, chromium: str, tmp_path: Path
) -> None:
    now = utc_now()
    with market.uow() as uow:
        hold = HoldId(new_id())
        escrow.reserve_one(uow, now, escrow.Need(Spender(callers.user.account_id), hold, 10**9, now))
        escrow.capture(uow, now, [escrow.Charge(hold, callers.provider.account_id, 10**9)])
        uow.commit()
    assert printed(chromium, bill(callers, tmp_path, now)) == ([A4_POINTS], "")


def test_a_long_bill_goes_on_over_pages_of_a4(callers: Callers, market: Swarmex, chromium: str, tmp_path: Path) -> None:
    now = utc_now() - timedelta(seconds=1)
    for number in range(90):
        meters.add_meter(market.uow(), now, OPERATOR, f"meter-{number}", "calls", 10**6, None)
    events = [
        {"specversion": "1.0", "id": str(number), "source": "/calls", "type": f"meter-{number}"}
        | {"subject": str(callers.user.account_id), "data": {"quantity": "1"}}
        for number in range(90)
    ]
    assert all(outcome.refusal is None for outcome in metering.ingest(market.uow(), now, OPERATOR, events))
    pages, complaints = printed(chromium, bill(callers, tmp_path, now))
    assert len(pages) in range(2, 7)
    assert set(pages) == {A4_POINTS}
    assert complaints == ""
