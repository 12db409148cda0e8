"""A copy is whole whatever the server does meanwhile: a server of names alone, that goes on at every step."""

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.usecases.backup import TRIES, BackupFailed, back_up

BLOBS = st.integers(0, 5).map("blob{}".format)
EVENTS = st.lists(st.tuples(st.sampled_from(["accept", "expire", "expire", "lose", "nothing"]), BLOBS), max_size=60)


class Server:
    """Calls, by the blob that they name, and the blobs; takes one event of its story at every step of the copying."""

    def __init__(self, story: Iterable[tuple[str, str]]) -> None:
        self.story = iter(story)
        self.calls: Counter[str] = Counter(["blob0", "blob1", "blob1", "blob2"])
        self.blobs = set(self.calls)
        self.lost: set[str] = set()

    def go_on(self) -> None:
        event, blob = next(self.story, ("nothing", ""))
        if event == "accept":
            self.blobs.add(blob)
            self.lost.discard(blob)
            self.calls[blob] += 1
        elif event == "expire" and self.calls[blob]:
            self.calls[blob] -= 1
            if not self.calls[blob]:
                self.blobs.discard(blob)
        elif event == "lose" and self.calls[blob] and blob in self.blobs:
            self.blobs.discard(blob)
            self.lost.add(blob)


class Rows:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.copied: set[str] = set()
        self.taken = 0

    def take(self) -> Iterator[str]:
        self.server.go_on()
        self.taken += 1
        self.copied = set(+self.server.calls)
        return iter(sorted(self.copied))


class Copies:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.copied: set[str] = set()

    def bring(self, names: Iterable[str]) -> set[str]:
        missing = set()
        for name in names:
            self.server.go_on()
            if name in self.server.blobs:
                self.copied.add(name)
            elif name not in self.copied:
                missing.add(name)
        return missing


@given(EVENTS)
def test_every_blob_that_the_copy_names_is_in_it_or_was_lost_before(story: list[tuple[str, str]]) -> None:
    server = Server(story)
    rows, blobs = Rows(server), Copies(server)

    lost = back_up(rows, blobs)

    assert rows.copied - blobs.copied == lost
    # One that a further call named and let go while it was missed looks as a lost one does.
    assert lost <= {blob for event, blob in story if event in {"lose", "accept"}}


def test_rows_are_copied_once_where_nothing_expires() -> None:
    server = Server([("accept", "blob4")] * 3)
    rows = Rows(server)

    assert back_up(rows, Copies(server)) == set()
    assert rows.taken == 1


class Fleeting(Rows):
    """Each time there is another call, which has expired when its blob is to be copied."""

    def take(self) -> Iterator[str]:
        self.taken += 1
        return iter([f"blob of call {self.taken}"])


def test_a_store_that_is_never_caught_is_given_up() -> None:
    rows = Fleeting(Server([]))

    with pytest.raises(BackupFailed, match="expire faster") as failed:
        back_up(rows, Copies(Server([])))

    assert rows.taken == TRIES
    assert "--retention" in failed.value.todo
