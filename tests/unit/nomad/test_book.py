"""What lists of jobs and allocations say together."""

import pytest

from tests.unit.nomad.test_allocations import ended
from yurt.outbound.engines.nomad.book import jobs_of


@pytest.mark.parametrize(
    ("status", "stopped", "over"),
    [
        ("running", False, False),
        ("running", True, False),
        ("complete", False, True),
        ("unknown", False, False),
        ("unknown", True, True),
    ],
)
def test_a_container_whose_node_is_away_is_over_once_it_was_told_to_end(
    status: str, *, stopped: bool, over: bool
) -> None:
    job = {
        "ID": "p/dispatch-1",
        "ParentID": "p",
        "Stop": stopped,
        "Status": "running",
        "Meta": {"container_id": "co-1"},
    }
    (found,) = jobs_of([job], {"p/dispatch-1": ended(status)})
    assert found.over is over
