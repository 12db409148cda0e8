import threading

import pytest

from tests.bench.peers.loop import SHAPES, phase

PHASE_S = 0.05


class _Calls:
    """Counts what is in flight, by thread."""

    def __init__(self) -> None:
        self.sent = 0
        self.most = 0
        self._lock = threading.Lock()
        self._flying: dict[int, int] = {}

    def send(self) -> int:
        with self._lock:
            self.sent += 1
            flying = self._flying[threading.get_ident()] = self._flying.get(threading.get_ident(), 0) + 1
            self.most = max(self.most, flying)
            return self.sent

    def read(self, call: int) -> int:
        with self._lock:
            self._flying[threading.get_ident()] -= 1
        if call == 1:
            raise ValueError("the first one fails")
        return call


@pytest.mark.parametrize("shape", SHAPES)
def test_each_call_is_read_or_counted_as_failed(shape: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    calls = _Calls()
    latencies, failed, _ = phase(calls.send, calls.read, shape, PHASE_S)
    assert (len(latencies) + failed, failed) == (calls.sent, 1)
    assert calls.most == shape[1]
    assert "1 calls failed, the first with ValueError('the first one fails')" in capsys.readouterr().err


def test_64_are_in_flight_in_each_shape() -> None:
    assert {threads * window for threads, window in SHAPES} == {64}
