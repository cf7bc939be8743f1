"""The documents: their links, files, targets and job types exist; the example job type works as written."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import job_types
from shared.job_type_loader import JobTypesByName, load_job_types
from worker.context import JobContext
from worker.registry import Handler, by_type, load_handlers

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs/job-types.md").read_text()
PYTHON = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)


def section(title: str) -> str:
    _, heading, rest = README.partition(f"\n## {title}\n")
    assert heading, f"the README has no section {title!r}"
    return rest.partition("\n## ")[0]


@pytest.fixture
def reverse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The two files of the smallest job type, as if they lay where the page puts them."""
    files = dict(PYTHON.findall(PAGE))
    folder = tmp_path / "job_types"
    for name in ("contract", "handler"):
        path = folder / "reverse" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[f"job_types/reverse/{name}.py"])
    monkeypatch.setattr(job_types, "__path__", [*job_types.__path__, str(folder)])
    yield
    for name in [name for name in sys.modules if name.startswith("job_types.reverse")]:
        del sys.modules[name]
    vars(job_types).pop("reverse", None)


def find_job_types() -> JobTypesByName:
    """The job types as they are found now, not as they were found before."""
    return load_job_types.__wrapped__()


def reverse_handler() -> Handler:
    return by_type(load_handlers(), find_job_types(), ["default"])["reverse"]


def test_the_example_contract_is_found_by_its_file(reverse: None):
    job_type = find_job_types()["reverse"]
    assert (job_type.queue, job_type.timeout, job_type.max_attempts) == ("default", 10, 2)
    assert job_type.params.model_validate(job_type.example)


async def test_the_example_handler_performs_it(reverse: None):
    handler = reverse_handler()
    job = JobContext("a-job", 1, 2)
    result = await handler.perform(handler.validate(b'{"text":"stressed"}'), job)
    assert handler.encode(result) == b'"desserts"'
    assert job.latest == b'{"fraction":0.5,"message":"turning"}'


def test_the_example_type_refuses_params_that_it_does_not_know(reverse: None):
    with pytest.raises(ValueError, match="extra_forbidden"):
        reverse_handler().validate(b'{"text":"stressed","times":2}')


def test_without_its_handler_a_worker_refuses_to_start(reverse: None):
    others = [handler for handler in load_handlers() if handler.job_type.name != "reverse"]
    with pytest.raises(ValueError, match="No handler performs reverse"):
        by_type(others, find_job_types(), ["default"])


def test_the_example_leaves_nothing_behind():
    assert "reverse" not in find_job_types()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "dev/__main__.py"])
def test_every_target_that_is_named_exists(document: str):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)\b", (ROOT / document).read_text(), re.MULTILINE))
    assert named, f"{document} names no target"
    assert named <= targets


def test_every_target_of_the_makefile_is_phony_and_says_what_it_does():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    assert set(re.findall(r"^([a-z]+):.*## \S", makefile, re.MULTILINE)) == set(targets)
    assert re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split() == targets


def test_the_tree_names_folders_that_are_there():
    folders = re.findall(r"^([a-z_]+)/ ", section("The tree"), re.MULTILINE)
    assert len(folders) >= 6
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_the_tree_names_every_package():
    folders = re.findall(r"^([a-z_]+)/ ", section("The tree"), re.MULTILINE)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(folders)


EXAMPLES = {f"job_types/reverse/{name}.py" for name in ("contract", "handler")}
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_and_its_heading(document: str):
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", (ROOT / document).read_text())
    targets = [
        ((ROOT / document).parent / name if name else ROOT / document, anchor) for name, anchor in links
    ]
    assert [path for path, _ in targets if not path.exists()] == []
    assert [(path, anchor) for path, anchor in targets if anchor and anchor not in anchors(path)] == []


def anchors(path: Path) -> set[str]:
    """The names by which links lead to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_lists_every_document():
    listed = set(re.findall(r"\]\(([^):#]+\.md)\)", section("Documents")))
    assert listed == {*DOCUMENTS, "CHANGELOG.md"} - {"README.md"}


def test_the_first_screens_of_the_readme_stay_short():
    assert len(README.splitlines()) <= 120


FILES = re.compile(
    r"(?:api|worker|shared|job_types|client|dev|tests|chaos|fuzz|benchmarks|docs)/[\w/.-]+\.\w+"
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document: str):
    """Examples of job types to be written are left out: only docs/job-types.md has them."""
    named = set(re.findall(rf"`({FILES.pattern})`", (ROOT / document).read_text()))
    assert [file for file in sorted(named - EXAMPLES) if not (ROOT / file).is_file()] == []


def test_files_are_named_where_a_newcomer_looks():
    for document in ("CONTRIBUTING.md", "docs/glossary.md"):
        assert len(FILES.findall((ROOT / document).read_text())) > 30


def test_the_job_types_it_names_are_those_there_are():
    sentence = re.search(r"The job types are (.*?)\.\n", README, re.DOTALL)
    assert sentence
    assert set(re.findall(r"`(\w+)`", sentence[1])) == set(find_job_types())
