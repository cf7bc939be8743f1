"""The API's description of itself is valid OpenAPI, complete, and fit to generate a client from."""

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.main import create_app
from api.settings import ApiSettings

OPERATIONS = {
    "submit_job", "submit_batch", "list_jobs", "get_job", "cancel_job", "retry_job", "follow_job",
    "issue_stream_token", "read_log", "read_webhook", "redeliver_webhook",
    "list_job_types", "get_job_type", "healthz", "readyz", "server_info",
    "read_artifact", "upload_file", "get_file", "delete_file",
}  # fmt: skip


@pytest.fixture(scope="module")
def document():
    return create_app(ApiSettings()).openapi()


@pytest.fixture(scope="module")
def operations(document):
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def test_it_is_valid(document):
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_operation_has_a_short_name_and_a_summary(operations):
    names = [operation["operationId"] for operation in operations]
    assert sorted(names) == sorted(OPERATIONS)
    assert all(operation["summary"] for operation in operations)


def test_every_tag_is_described(document, operations):
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tag for operation in operations for tag in operation["tags"]} == described


def test_every_parameter_is_described(operations):
    for operation in operations:
        for parameter in operation["parameters"]:
            assert "$ref" in parameter or parameter["description"], (operation["operationId"], parameter)


def test_every_error_is_shown_by_an_example(operations):
    for operation in operations:
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert answer["description"]
                assert answer["content"]["application/json"]["examples"], (operation["operationId"], status)


def test_every_answer_names_its_request(operations):
    for operation in operations:
        for answer in operation["responses"].values():
            assert "X-Request-ID" in answer["headers"]


def test_every_field_of_a_record_is_described(document):
    for name, field in document["components"]["schemas"]["JobRecord"]["properties"].items():
        assert field.get("description") or "$ref" in field, name


def test_every_link_leads_to_an_operation_and_fills_its_parameters(operations):
    parameters = {o["operationId"]: {p.get("name") for p in o["parameters"]} for o in operations}
    links = [
        link
        for o in operations
        for answer in o["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(links) >= 20
    for link in links:
        assert set(link["parameters"]) <= parameters[link["operationId"]]


def test_every_reference_leads_somewhere(document):
    for kind, name in re.findall(r"'\$ref': '#/components/(\w+)/(\w+)'", str(document)):
        assert name in document["components"][kind]
