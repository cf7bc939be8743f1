"""The documents: their links, files, targets and job types exist."""

import re
from pathlib import Path

import pytest

from shared.job_type_loader import load_job_types

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    _, heading, rest = README.partition(f"\n## {title}\n")
    assert heading, f"the README has no section {title!r}"
    return rest.partition("\n## ")[0]


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


def test_the_readme_leads_to_every_document():
    """Each document is in its list, or is linked by one that is."""
    listed = set(re.findall(r"\]\(([^):#]+\.md)\)", section("Documents")))
    known = {*DOCUMENTS, "CHANGELOG.md"} - {"README.md"}
    assert listed <= known
    linked = {target for document in listed for target in linked_documents(document)}
    assert known - listed <= linked


def linked_documents(document: str) -> set[str]:
    """The documents of this tree that a document links to, by their paths from its root."""
    links = re.findall(r"\]\((?!https?:)([^)#]+\.md)(?:#[^)]+)?\)", (ROOT / document).read_text())
    paths = {((ROOT / document).parent / link).resolve() for link in links}
    return {str(path.relative_to(ROOT)) for path in paths}


def test_the_first_screens_of_the_readme_stay_short():
    assert len(README.splitlines()) <= 120


FILES = re.compile(
    r"(?:api|worker|shared|job_types|client|deploy|dev|tests|chaos|fuzz|benchmarks|docs)/[\w/.-]+\.\w+"
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
    assert set(re.findall(r"`(\w+)`", sentence[1])) == set(load_job_types())
