"""What was sent and what came of it, by operation."""

from collections import Counter
from dataclasses import dataclass, field

from schemathesis.engine import Status
from schemathesis.engine.events import EngineEvent, FatalError, NonFatalError, ScenarioFinished
from schemathesis.engine.recorder import ScenarioRecorder

LARGEST_EXAMPLE = 3000


@dataclass(slots=True)
class Row:
    """An operation's answers by the first digit of their status, 0 for none; and its failures."""

    answers: Counter[int] = field(default_factory=Counter)
    failures: int = 0

    @property
    def cases(self) -> int:
        return self.answers.total()


class Tally:
    """Counts cases and failures, and keeps one example of each kind of failure."""

    def __init__(self, operations: list[str]) -> None:
        self._rows = {operation: Row() for operation in operations}
        self.jobs: Counter[str] = Counter()
        self.chained = 0
        self.findings: dict[str, str] = {}

    def good(self, cases: int) -> bool:
        """Whether all went well, in as many cases for each operation, and as many by links."""
        return not self.findings and not self.lacking(cases) and self.chained >= cases

    def lacking(self, cases: int) -> list[str]:
        """The operations that had fewer cases."""
        return [operation for operation, row in self._rows.items() if row.cases < cases]

    def note(self, event: EngineEvent) -> None:
        """Count what an event of a run tells."""
        if isinstance(event, ScenarioFinished):
            self._note_answers(event.recorder)
            self._note_failures(event.recorder)
        elif isinstance(event, NonFatalError):
            self._find(event.label, event.info.title, event.info.format())
        elif isinstance(event, FatalError):
            raise event.exception

    def note_answer(self, kind: str, status: int, fault: str | None, example: str) -> None:
        """Count an answer to a request of a kind that no document describes."""
        row = self._rows.setdefault(kind, Row())
        row.answers[status // 100] += 1
        if fault is not None:
            row.failures += 1
            self._find(kind, fault, example)

    def table(self) -> str:
        """The rows in Markdown."""
        lines = ["| operation | cases | 2xx, 3xx | 4xx | 5xx or none | failures |"]
        lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
        for operation, row in self._rows.items():
            answers = row.answers
            counts = (row.cases, answers[2] + answers[3], answers[4], answers[5] + answers[0], row.failures)
            lines.append(f"| {operation} | {' | '.join(f'{count:,}' for count in counts)} |")
        return "\n".join(lines)

    def summary(self) -> str:
        """All rows in one sentence, and what became of the jobs."""
        rows = self._rows.values()
        cases, failures = sum(row.cases for row in rows), sum(row.failures for row in rows)
        errors = sum(row.answers[5] + row.answers[0] for row in rows)
        jobs = ", ".join(f"{count:,} {state}" for state, count in self.jobs.items())
        return (
            f"{cases:,} cases, {self.chained:,} of them by links: "
            f"{errors} server errors, {failures} failures; the jobs they made: {jobs}"
        )

    def _note_answers(self, recorder: ScenarioRecorder) -> None:
        for name, interaction in recorder.interactions.items():
            node, answer = recorder.cases[name], interaction.response
            self._rows[node.value.operation.label].answers[answer.status_code // 100 if answer else 0] += 1
            self.chained += node.transition is not None

    def _note_failures(self, recorder: ScenarioRecorder) -> None:
        for name, checks in recorder.checks.items():
            for check in checks:
                if check.status is Status.FAILURE and check.failure_info is not None:
                    operation = recorder.cases[name].value.operation.label
                    self._rows[operation].failures += 1
                    failure, sample = check.failure_info.failure, check.failure_info.code_sample
                    answer = recorder.interactions[name].response
                    told = answer.text if answer else "no answer"
                    self._find(operation, failure.title, f"{failure.message}\n\n{sample}\n\n{told}")

    def _find(self, operation: str, title: str, example: str) -> None:
        self.findings.setdefault(f"{operation}: {title}", example[:LARGEST_EXAMPLE])
