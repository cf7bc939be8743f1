"""Job types are found by their files, and no two share a name."""

from dataclasses import replace

import pytest

from job_types.csv_profile.contract import CSV_PROFILE
from job_types.echo.contract import ECHO
from job_types.embed.contract import EMBED
from job_types.flaky.contract import FLAKY
from job_types.generate.contract import GENERATE
from job_types.identify_file.contract import IDENTIFY_FILE
from job_types.mandelbrot.contract import MANDELBROT
from job_types.sleep.contract import SLEEP
from job_types.thumbnail.contract import THUMBNAIL
from job_types.word_count.contract import WORD_COUNT
from shared.job_type import JobType, Params
from shared.job_type_loader import Contract, JobTypesByName, index_by_name, load_job_types


def index(*job_types: JobType) -> JobTypesByName:
    return index_by_name(Contract("a.contract", job_type) for job_type in job_types)


def test_the_job_types_are_found_by_their_files():
    assert dict(load_job_types()) == {
        "csv_profile": CSV_PROFILE,
        "echo": ECHO,
        "embed": EMBED,
        "flaky": FLAKY,
        "generate": GENERATE,
        "identify_file": IDENTIFY_FILE,
        "mandelbrot": MANDELBROT,
        "sleep": SLEEP,
        "thumbnail": THUMBNAIL,
        "word_count": WORD_COUNT,
    }


def test_the_contracts_come_in_the_order_of_their_names():
    assert list(index(SLEEP, ECHO)) == ["echo", "sleep"]


def test_the_contracts_can_not_be_changed():
    with pytest.raises(TypeError):
        load_job_types()["other"] = ECHO  # type: ignore[index]


def test_two_contracts_with_one_name_are_refused_by_that_name():
    with pytest.raises(ValueError, match=r"both define the job type 'echo'"):
        index(ECHO, SLEEP, replace(FLAKY, name="echo"))


def test_one_contract_seen_twice_is_one_contract():
    assert dict(index(ECHO, ECHO)) == {"echo": ECHO}


@pytest.mark.parametrize("job_type", load_job_types().values(), ids=load_job_types().keys())
def test_each_example_fits_the_params_of_its_own_type(job_type: JobType):
    params = job_type.params.model_validate(job_type.example)
    assert params.model_dump(include=set(job_type.example)) == job_type.example


@pytest.mark.parametrize("job_type", load_job_types().values(), ids=load_job_types().keys())
def test_no_type_takes_a_field_that_it_does_not_know(job_type: JobType):
    with pytest.raises(ValueError, match="extra_forbidden"):
        job_type.params.model_validate({**job_type.example, "unknown": 1})


def test_params_do_not_change():
    class Sized(Params):
        size: int

    params = Sized(size=1)
    with pytest.raises(ValueError, match="frozen"):
        params.size = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("job_type", "params"),
    [
        (SLEEP, {"seconds": -1}),
        (SLEEP, {"seconds": 3601}),
        (SLEEP, {"seconds": float("nan")}),
        (SLEEP, {}),
        (WORD_COUNT, {"text": "a", "top": 0}),
        (WORD_COUNT, {"text": "a", "top": 101}),
        (WORD_COUNT, {"text": 1}),
        (FLAKY, {"failures": -1}),
        (FLAKY, {"failures": 101}),
        (ECHO, {}),
        (MANDELBROT, {}),
        (MANDELBROT, {"size": 15}),
        (MANDELBROT, {"size": 4097}),
        (MANDELBROT, {"size": 64, "width": 0}),
        (MANDELBROT, {"size": 64, "width": 8.1}),
        (MANDELBROT, {"size": 64, "center_x": float("inf")}),
        (MANDELBROT, {"size": 64, "max_iterations": 10_001}),
        (THUMBNAIL, {}),
        (THUMBNAIL, {"file": "../secret"}),
        (THUMBNAIL, {**THUMBNAIL.example, "width": 0}),
        (THUMBNAIL, {**THUMBNAIL.example, "height": 2049}),
        (THUMBNAIL, {**THUMBNAIL.example, "format": "gif"}),
        (THUMBNAIL, {**THUMBNAIL.example, "quality": 101}),
        (CSV_PROFILE, {}),
        (CSV_PROFILE, {**CSV_PROFILE.example, "delimiter": "ab"}),
        (CSV_PROFILE, {**CSV_PROFILE.example, "top": 51}),
        (CSV_PROFILE, {**CSV_PROFILE.example, "quantiles": [1.1]}),
        (CSV_PROFILE, {**CSV_PROFILE.example, "quantiles": [0.5] * 21}),
        (EMBED, {}),
        (EMBED, {"texts": []}),
        (EMBED, {"texts": ["a"] * 65}),
        (EMBED, {"texts": ["a" * 65_537]}),
        (EMBED, {"texts": [1]}),
        (EMBED, {"texts": ["a"], "encoding": "hex"}),
        (IDENTIFY_FILE, {}),
        (IDENTIFY_FILE, {"file": "/etc/passwd"}),
    ],
)
def test_params_outside_their_bounds_are_refused(job_type: JobType, params: dict):
    with pytest.raises(ValueError, match="validation error"):
        job_type.params.model_validate(params)
