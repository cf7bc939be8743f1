"""Metrics: series and their text; the cells of several processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.metrics.metric_set import MetricSet
from shared.metrics.series import Counter


def samples(metrics: MetricSet) -> dict[str, float]:
    """The samples of a scrape: by name, with the labels' values behind it."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def counting(folder: Path | None = None) -> tuple[MetricSet, Counter]:
    metrics = MetricSet()
    [jobs] = metrics.counter("jobs", "Jobs.")
    metrics.open(folder)
    return metrics, jobs


def test_a_counter_shows_its_series_from_the_start():
    metrics = MetricSet()
    one, _ = metrics.counter("jobs", "Jobs.", ("type",), [("a",), ("b",)])
    metrics.open()
    one.add()
    one.add(2)
    assert samples(metrics) == {"job_server_jobs_total a": 3, "job_server_jobs_total b": 0}


def test_a_histogram_counts_up_to_and_with_each_bound():
    metrics = MetricSet()
    [waits] = metrics.histogram("wait_seconds", "Waits.", (0.5, 2))
    metrics.open()
    for seconds in (0.25, 0.5, 1, 2, 8):
        waits.observe(seconds)
    assert samples(metrics) == {
        "job_server_wait_seconds_bucket 0.5": 2,
        "job_server_wait_seconds_bucket 2.0": 4,
        "job_server_wait_seconds_bucket +Inf": 5,
        "job_server_wait_seconds_count": 5,
        "job_server_wait_seconds_sum": 11.75,
    }


def test_series_of_a_sparse_histogram_appear_with_their_first_observation():
    metrics = MetricSet()
    a, _ = metrics.histogram("seconds", "Requests.", (1,), ("route",), [("a",), ("b",)], sparse=True)
    metrics.open()
    assert samples(metrics) == {}
    a.observe(3)
    assert samples(metrics)["job_server_seconds_count a"] == 1
    assert "job_server_seconds_count b" not in samples(metrics)


def test_what_is_read_at_a_scrape_is_as_it_is_then():
    metrics, running = MetricSet(), {"default": 1.0}
    metrics.gauge("running", "Running.", lambda: [((name,), n) for name, n in running.items()], ("queue",))
    metrics.rising("ends", "Ends.", lambda: [((), 4)])
    metrics.open()
    running["other"] = 2
    assert samples(metrics) == {
        "job_server_running default": 1,
        "job_server_running other": 2,
        "job_server_ends_total": 4,
    }


def test_a_gauge_that_is_not_set_any_more_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    metrics = MetricSet()
    lag = metrics.recent_gauge("lag_seconds", "Lag.")
    metrics.open()
    lag.set(0.5)
    assert samples(metrics) == {"job_server_lag_seconds": 0.5}
    monkeypatch.setattr("shared.metrics.families.FRESH_SECONDS", -1)
    assert samples(metrics) == {"job_server_lag_seconds": 0}


def test_values_of_labels_are_escaped():
    metrics = MetricSet()
    metrics.counter("jobs", "Jobs.", ("type",), [('a"b\\c\nd',)])
    metrics.open()
    assert samples(metrics) == {'job_server_jobs_total a"b\\c\nd': 0}


def test_sets_share_nothing():
    (one, jobs), (other, _) = counting(), counting()
    jobs.add()
    assert (samples(one), samples(other)) == ({"job_server_jobs_total": 1}, {"job_server_jobs_total": 0})


# -- several processes; in the tests, several sets


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[tuple[MetricSet, Counter]]]:
    sets = [counting(tmp_path) for _ in range(3)]
    yield sets
    for metrics, _ in sets:
        metrics.close()


def test_each_process_shows_the_sums_of_all(three: list[tuple[MetricSet, Counter]]):
    for number, (_, jobs) in enumerate(three):
        jobs.add(10**number)
    assert [samples(metrics) for metrics, _ in three] == [{"job_server_jobs_total": 111}] * 3


def test_a_process_that_ends_leaves_its_counts_and_the_next_one_goes_on(
    three: list[tuple[MetricSet, Counter]], tmp_path: Path
):
    for number, (_, jobs) in enumerate(three):
        jobs.add(10**number)
    three.pop(1)[0].close()
    assert samples(three[0][0]) == {"job_server_jobs_total": 111}
    three.append(counting(tmp_path))
    three[-1][1].add(1000)
    assert [samples(metrics) for metrics, _ in three] == [{"job_server_jobs_total": 1111}] * 3
    assert len(list(tmp_path.iterdir())) == 3  # however often processes end


def test_processes_with_other_metrics_share_nothing(tmp_path: Path):
    old, jobs = counting(tmp_path)
    new = MetricSet()
    [more] = new.counter("jobs", "Jobs.", ("type",), [("a",)])
    new.open(tmp_path)
    jobs.add()
    more.add(5)
    assert samples(old) == {"job_server_jobs_total": 1}
    assert samples(new) == {"job_server_jobs_total a": 5}
    old.close()
    new.close()


def test_more_series_than_there_is_room_for_are_refused():
    metrics = MetricSet()
    with pytest.raises(ValueError, match="too many series"):
        metrics.histogram("seconds", "Too many.", range(1000), ("n",), [(str(n),) for n in range(1000)])
