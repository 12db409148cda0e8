import json

from tests.commands import Yurt
from tests.component.cli.fake_api import FakeApi

HELD = {"container_id": "co-1", "function": "thumbs:resize", "count": 2}


def test_gpus_are_listed_with_who_has_them(api: FakeApi, yurt: Yurt) -> None:
    api.capacity = {
        "gpus": [{"type": "H100", "total": 4, "free": 2, "held_by": [HELD]}],
        "unmapped": [{"model": "NVIDIA A40", "count": 1}],
    }
    shown = yurt("capacity")

    assert [" ".join(line.split()) for line in shown.out.splitlines()] == [
        "GPU TOTAL FREE HELD BY",
        "H100 4 2 thumbs:resize (co-1): 2",
    ]
    assert "1 NVIDIA A40: no type stands for it" in shown.err
    assert json.loads(yurt("capacity", "--json").out)["gpus"] == api.capacity["gpus"]


def test_an_engine_without_gpus_says_so(api: FakeApi, yurt: Yurt) -> None:
    api.capacity = {"reachable": False, "reason": "nvidia-smi failed."}
    shown = yurt("capacity")

    assert (shown.code, shown.out) == (0, "")
    assert "does not know: nvidia-smi failed." in shown.err
    assert "has no GPUs to offer" in shown.err
