"""The comparison of model servers: texts, settings, and the memory of processes."""

import os
import subprocess
import sys

from benchmarks.figures import Figures
from benchmarks.inference.goals import goals_of, show_goals
from benchmarks.inference.load import SHORT, TEXTS, mixed_texts, post, short_texts
from benchmarks.inference.memory import MemoryPeak, descendants, pss
from benchmarks.inference.models import SimulatedDevice, call_seconds
from benchmarks.inference.peer_settings import PeerSettings
from benchmarks.inference.setups import CPUS, SETUPS
from dev.stack import wait_until


def test_texts_are_the_same_in_every_run() -> None:
    assert short_texts() == short_texts()
    assert mixed_texts() == mixed_texts()
    assert len(short_texts()) == len(mixed_texts()) == TEXTS


def test_mixed_texts_are_mostly_short() -> None:
    lengths = [len(text.split()) for text in mixed_texts()]
    assert sum(length <= SHORT[1] for length in lengths) == 0.7 * TEXTS
    assert max(lengths) > 10 * SHORT[1]


def test_request_has_the_length_of_its_body() -> None:
    head, _, body = post("/predict", {"item": "é"}).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


def test_settings_of_a_peer_reach_its_processes(monkeypatch) -> None:
    settings = PeerSettings(workers=2, threads=3, size=16, wait=0.002, http_processes=4, fast_queue=True)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert PeerSettings.from_environment() == settings


def test_models_of_every_setup_have_as_many_threads_as_there_are_cpus() -> None:
    for setup in SETUPS:
        for settings in setup.settings.values():
            assert settings.workers * settings.threads <= max(CPUS, settings.workers)


def test_simulated_device_answers_each_item() -> None:
    assert SimulatedDevice().perform(["ab", "cd"]) == ["ba", "dc"]
    assert call_seconds(32) < 32 * call_seconds(1) / 20


def test_memory_counts_a_process_and_its_children() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as parent:
        wait_until(lambda: len(descendants(parent.pid)) == 2, "the child has started")
        both, one = pss(descendants(parent.pid)), pss({parent.pid})
        parent.communicate(b"\n")
    assert both > one > 0
    assert descendants(parent.pid) == set()


def test_peak_keeps_the_largest_sample_of_each_group() -> None:
    sampled = []

    def groups() -> dict[str, set[int]]:
        sampled.append(1)
        return {"some": {os.getpid()} if len(sampled) == 1 else set()}

    with MemoryPeak(groups, pause=0.001) as peak:
        wait_until(lambda: len(sampled) > 2, "three samples are taken")
    assert peak.most["some"] > 0


def test_goal_without_its_measurement_is_neither_met_nor_missed() -> None:
    assert {goal.verdict for goal in goals_of(Figures())} == {"not measured"}


def test_goals_compare_medians_with_the_best_row_of_a_peer() -> None:
    figures = Figures()
    for row, rate in {"batched": 480, "unbatched": 240, "litserve": 300, "litserve_2_workers": 400}.items():
        figures.add(row, "short 64 rate", rate)
    found = {goal.text: goal for goal in goals_of(figures)}
    assert found["short: batched ÷ unbatched"].measured == 2
    assert found["short: the best ÷ LitServe's best"].measured == 1.2
    assert found["short: the best ÷ LitServe's best"].verdict == "met"
    assert "| 1.20" in show_goals(figures)


def test_goal_of_a_lone_job_bounds_its_delay() -> None:
    figures = Figures()
    figures.add("batched", "device 1 p50", 24.5)
    figures.add("unbatched", "device 1 p50", 23)
    delay = next(goal for goal in goals_of(figures) if "lone job" in goal.text)
    assert delay.measured == 1.5
    assert delay.verdict == "missed"
