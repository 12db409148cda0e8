"""The labels of live functions that answer HTTP: no two bear the same one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from yurt.domain.changes import Change, Remove, Save
from yurt.domain.definitions import FunctionDefinition
from yurt.domain.records import App, Label
from yurt.domain.web import label_of


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What a deploy means for labels: what to write, and what to do once that is committed."""

    changes: tuple[Change, ...]
    apply: Callable[[], None]


@dataclass(slots=True)
class LabelBook:
    """Labels by function, and functions by label."""

    _labels: dict[str, str] = field(default_factory=dict)
    _functions: dict[str, str] = field(default_factory=dict)

    def of(self, function_id: str) -> str | None:
        """The label of a live function."""
        return self._labels.get(function_id)

    def function_id(self, label: str) -> str | None:
        """The live function that bears a label."""
        return self._functions.get(label)

    def put(self, record: Label) -> None:
        """A function bears that label from now on, and no other."""
        self.remove(record.function_id)
        self._labels[record.function_id] = record.label
        self._functions[record.label] = record.function_id

    def remove(self, function_id: str) -> None:
        """A function bears none any more."""
        label = self._labels.pop(function_id, None)
        if label is not None:
            del self._functions[label]

    def without(self, function_ids: Iterable[str]) -> Relabelled:
        """What it means for labels that functions are gone."""
        gone = [one for one in function_ids if one in self._labels]
        changes = tuple(Remove(Label, (self._labels[one],)) for one in gone)

        def apply() -> None:
            for function_id in gone:
                self.remove(function_id)

        return Relabelled(changes, apply)


class LabelPlan:
    """The labels that one deploy gives.

    Args:
        book: what is borne now.
        gone: functions that the deploy deletes.
    """

    def __init__(self, book: LabelBook, gone: Sequence[str] = ()) -> None:
        self._book = book
        self._gone = gone
        self._given: dict[str, str] = {}

    def assign(self, app: App, function_id: str, name: str, definition: FunctionDefinition) -> str | None:
        """The label of a function by its new definition; None where it does not answer HTTP."""
        if not definition.answers_http:
            return None

        def taken(label: str) -> bool:
            bearer = self._given.get(label) or self._book.function_id(label)
            return bearer is not None and bearer != function_id and bearer not in self._gone

        label = label_of(
            definition.label,
            environment=app.environment,
            app=app.name,
            function=name,
            taken=taken,
            kept=self._book.of(function_id),
        )
        self._given[label] = function_id
        return label

    def written(self, function_ids: Iterable[str]) -> Relabelled:
        """What it means for labels that these functions get what was assigned to them."""
        wanted = {function_id: label for label, function_id in self._given.items()}
        new = [Label(wanted[one], one) for one in function_ids if one in wanted and self._book.of(one) != wanted[one]]
        before = self._book.without([*self._gone, *(record.function_id for record in new)])

        def apply() -> None:
            before.apply()
            for record in new:
                self._book.put(record)

        return Relabelled((*before.changes, *map(Save, new)), apply)
