"""Items per second of models behind HTTP, with clients that wait for the answer to one item each.

*device* is a simulated one, whose call takes 20 ms and 0.2 ms for each item; *short* and *mixed* are
embeddings of texts of 4 to 12 words, and of 4 to 180. A client sends its next request when it has its answer:
`POST /jobs?wait=60` here, `POST /predict` at the peers. *After* is a lone client right after 64.
"""

from collections.abc import Callable

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures, ratio
from benchmarks.inference.goals import show_goals
from benchmarks.inference.load import measure, mixed_texts, short_texts
from benchmarks.inference.memory import MemoryPeak
from benchmarks.inference.models import call_seconds
from benchmarks.inference.servers import Server, serving
from benchmarks.inference.setups import BATCH, SETUPS, UNBATCHED, Setup
from benchmarks.progress import failure_logged
from dev.markdown import markdown_table

CLIENTS = (1, 8, 64)
AFTER = "after"
SECONDS = 3.0
WARM_UP = 0.7
Texts = dict[str, Callable[[], list[str]]]
LOADS: dict[str, Texts] = {
    "device": {"device": short_texts},
    "embedding": {"short": short_texts, "mixed": mixed_texts},
}


def run(options: BenchmarkOptions) -> str:
    figures, seconds = Figures(), 1.0 if options.quick else SECONDS
    setups = [setup for setup in SETUPS if not options.peers or setup.name in options.peers]
    for _ in range(options.rounds):
        for model, texts in LOADS.items():
            for setup in setups:
                with failure_logged(), serving(setup, model) as server:
                    measure_server(figures, setup, server, model, texts, seconds)
    tables = [f"### {load}\n\n{_rates(figures, setups, load)}" for texts in LOADS.values() for load in texts]
    ideal = BATCH / call_seconds(BATCH)
    notes = (
        f"The ideal rate of one device is {ideal:,.0f}/s, with batches of {BATCH} and no gap between them."
    )
    parts = [_setups(setups), *tables, notes, f"### memory\n\n{_memory(figures, setups)}"]
    return "\n\n".join([*parts, f"### goals\n\n{show_goals(figures)}"])


def measure_server(
    figures: Figures, setup: Setup, server: Server, model: str, texts: Texts, seconds: float
) -> None:
    with MemoryPeak(server.groups) as peak:
        for load, make in texts.items():
            requests = [server.request(text) for text in make()]
            for clients in CLIENTS:
                measure(server.port, requests, clients, WARM_UP, server.expected)
                found = measure(server.port, requests, clients, seconds, server.expected)
                for name, value in found.items():
                    figures.add(setup.name, f"{load} {clients} {name}", value)
            found = measure(server.port, requests, 1, seconds / 2, server.expected)
            figures.add(setup.name, f"{load} {AFTER} p50", found["p50"])
    for group, megabytes in peak.most.items():
        figures.add(setup.name, f"{model} {group}", megabytes)


def _setups(setups: list[Setup]) -> str:
    return markdown_table(["server", "version", "setup"], [[s.name, s.version, s.text] for s in setups])


def _rates(figures: Figures, setups: list[Setup], load: str) -> str:
    head = ["server", "64 clients, /s", "range", f"÷ {UNBATCHED.name}"]
    head += [f"{clients}, p50 ms" for clients in (*CLIENTS, AFTER)]
    head += [f"{clients}, p99 ms" for clients in CLIENTS] + [f"{clients}, /s" for clients in CLIENTS[:-1]]
    rows = []
    for setup in setups:
        most = f"{load} {CLIENTS[-1]} rate"
        cells = [setup.name, figures.show(setup.name, most), figures.spread(setup.name, most)]
        cells.append(ratio(figures.median(setup.name, most), figures.median(UNBATCHED.name, most)))
        cells += [figures.show(setup.name, f"{load} {clients} p50", 1) for clients in (*CLIENTS, AFTER)]
        cells += [figures.show(setup.name, f"{load} {clients} p99", 1) for clients in CLIENTS]
        cells += [figures.show(setup.name, f"{load} {clients} rate") for clients in CLIENTS[:-1]]
        rows.append(cells)
    return markdown_table(head, rows)


def _memory(figures: Figures, setups: list[Setup]) -> str:
    head = ["server", "device, MB", "embedding, MB", "its models, MB"]
    columns = ("device all", "embedding all", "embedding models")
    return markdown_table(
        head, [[setup.name, *(figures.show(setup.name, column) for column in columns)] for setup in setups]
    )
