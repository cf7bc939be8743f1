"""The result of a fuzz campaign: answers and failures by operation, with an example of each failure."""

from collections import Counter
from dataclasses import dataclass, field

from schemathesis.engine import Status
from schemathesis.engine.events import EngineEvent, FatalError, NonFatalError, ScenarioFinished
from schemathesis.engine.recorder import ScenarioRecorder

from dev.markdown import markdown_table

MAX_EXAMPLE_LENGTH = 3000  # characters
HEAD = ("operation", "cases", "2xx, 3xx", "4xx", "5xx or none", "failures")


@dataclass(slots=True)
class OperationCounts:
    """Answers of an operation, by the first digit of their status, 0 for no answer; and its failures."""

    answers: Counter[int] = field(default_factory=Counter)
    failures: int = 0

    @property
    def cases(self) -> int:
        return self.answers.total()


class CampaignResult:
    """Counts of cases and failures, filled while the campaign runs.

    Attributes:
        jobs: the jobs that the campaign submitted, by state.
        linked: the cases that followed a link of the document.
        findings: an example by operation and failure.
    """

    def __init__(self, operations: list[str]) -> None:
        self._counts = {operation: OperationCounts() for operation in operations}
        self.jobs: Counter[str] = Counter()
        self.linked = 0
        self.findings: dict[str, str] = {}

    def passed(self, cases: int) -> bool:
        """Whether nothing failed, in at least `cases` cases of each operation and `cases` links."""
        return not self.findings and not self.short_of(cases) and self.linked >= cases

    def short_of(self, cases: int) -> list[str]:
        """The operations with fewer cases."""
        return [operation for operation, counts in self._counts.items() if counts.cases < cases]

    def add_event(self, event: EngineEvent) -> None:
        """Count the cases of an event of Schemathesis."""
        if isinstance(event, ScenarioFinished):
            self._add_answers(event.recorder)
            self._add_failures(event.recorder)
        elif isinstance(event, NonFatalError):
            self._add_finding(event.label, event.info.title, event.info.format())
        elif isinstance(event, FatalError):
            raise event.exception

    def add_raw_answer(self, kind: str, status: int, fault: str | None, example: str) -> None:
        """Count the answer to a raw request."""
        name = f"raw: {kind}"
        counts = self._counts.setdefault(name, OperationCounts())
        counts.answers[status // 100] += 1
        if fault is not None:
            counts.failures += 1
            self._add_finding(name, fault, example)

    def table(self) -> str:
        """The counts by operation, in Markdown."""
        rows = []
        for operation, counts in self._counts.items():
            answers = counts.answers
            figures = (
                counts.cases,
                answers[2] + answers[3],
                answers[4],
                answers[5] + answers[0],
                counts.failures,
            )
            rows.append([operation, *(f"{figure:,}" for figure in figures)])
        return markdown_table(HEAD, rows, right=range(1, len(HEAD)))

    def summary(self) -> str:
        """The sums of all operations, and the states of the submitted jobs."""
        every = self._counts.values()
        cases, failures = sum(counts.cases for counts in every), sum(counts.failures for counts in every)
        errors = sum(counts.answers[5] + counts.answers[0] for counts in every)
        jobs = ", ".join(f"{count:,} {state}" for state, count in self.jobs.items())
        return (
            f"{cases:,} cases, {self.linked:,} of them by links: {errors} server errors, "
            f"{failures} failures.\n"
            f"Jobs: {jobs or 'none'}."
        )

    def _add_answers(self, recorder: ScenarioRecorder) -> None:
        for name, interaction in recorder.interactions.items():
            node, answer = recorder.cases[name], interaction.response
            counts = self._counts[node.value.operation.label]
            counts.answers[answer.status_code // 100 if answer else 0] += 1
            self.linked += node.transition is not None

    def _add_failures(self, recorder: ScenarioRecorder) -> None:
        for name, checks in recorder.checks.items():
            for check in checks:
                if check.status is Status.FAILURE and check.failure_info is not None:
                    operation = recorder.cases[name].value.operation.label
                    self._counts[operation].failures += 1
                    failure, sample = check.failure_info.failure, check.failure_info.code_sample
                    answer = recorder.interactions[name].response
                    text = answer.text if answer else "no answer"
                    self._add_finding(operation, failure.title, f"{failure.message}\n\n{sample}\n\n{text}")

    def _add_finding(self, operation: str, title: str, example: str) -> None:
        self.findings.setdefault(f"{operation}: {title}", example[:MAX_EXAMPLE_LENGTH])
