"""The OpenAPI document: valid, complete, and fit to generate a client from."""

import re
from inspect import signature
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.main import ROUTERS, create_app
from api.middleware.direct_routes import DirectRouter
from api.reference.operations import OPERATIONS
from api.settings import ApiSettings
from api.submission import Submissions
from shared.job_type_loader import load_job_types
from shared.record import JobRecord


@pytest.fixture(scope="module")
def document():
    return create_app(ApiSettings()).openapi()


@pytest.fixture(scope="module")
def operations(document):
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def test_the_document_is_valid(document):
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_operation_has_a_short_name_and_a_summary(operations):
    names = [operation["operationId"] for operation in operations]
    assert sorted(names) == sorted(OPERATIONS)
    assert all(operation["summary"] for operation in operations)


def test_operations_on_a_job_document_a_missing_and_an_expired_one(document):
    described = [
        operation
        for path, methods in document["paths"].items()
        if "{job_id}" in path
        for operation in methods.values()
    ]
    assert len(described) >= 9
    for operation in described:
        assert "`job_not_found`" in operation["responses"]["404"]["description"], operation["operationId"]
        assert "`job_expired`" in operation["responses"]["410"]["description"], operation["operationId"]


def test_an_answer_that_is_a_job_has_its_etag_and_links(operations):
    answers = [
        answer
        for operation in operations
        for answer in operation["responses"].values()
        if "'#/components/schemas/JobRecord'" in str(answer.get("content"))
        and "application/json" in answer["content"]
        and "$ref" in answer["content"]["application/json"]["schema"]
    ]
    assert len(answers) == 6
    for answer in answers:
        assert answer["headers"]["ETag"]["required"]
        assert set(answer["links"]) == {
            "GetJob",
            "FollowJob",
            "ReadLog",
            "ReadOutput",
            "CancelJob",
            "RetryJob",
        }


def test_a_direct_route_needs_no_more_than_its_request_and_its_path():
    direct = [router for router in ROUTERS if isinstance(router, DirectRouter)]
    routes = [route for router in direct for route in router.routes if isinstance(route, APIRoute)]
    assert {route.name for route in routes} >= {"submit_job", "get_job"}
    for route in routes:
        assert set(signature(route.endpoint).parameters) == {"request", *route.param_convertors}, route.name
        assert not route.dependencies, route.name


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
    references = re.findall(r"'\$ref': '#/components/(\w+)/(\w+)'", str(document))
    assert {kind for kind, _ in references} == {"schemas", "parameters", "headers"}
    assert len(references) > len(OPERATIONS)
    for kind, name in references:
        assert name in document["components"][kind]


# -- what generators and linters need


def test_every_field_that_is_always_sent_is_required(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    assert {*JobRecord.model_fields} - {*schemas["JobRecord"]["required"]} == {"queue_position_estimated"}
    for name in ("Progress", "LogLine", "ErrorEnvelope", "Health"):
        assert schemas[name]["required"] == list(schemas[name]["properties"]), name


def test_the_example_of_a_record_has_every_field(document: dict[str, Any]):
    record = document["components"]["schemas"]["JobRecord"]
    assert all([*example] == record["required"] for example in record["examples"])


def test_no_schema_has_a_name_that_generators_define(document: dict[str, Any]):
    taken = {
        "File",
        "Blob",
        "Response",
        "Request",
        "Error",
        "Client",
        "Event",
        "Any",
        "List",
        "Object",
        "Date",
    }
    assert not document["components"]["schemas"].keys() & taken


def test_a_stream_is_text_to_generators_and_its_events_have_a_schema(document: dict[str, Any]):
    stream = document["paths"]["/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]["content"]
    assert stream["text/event-stream"]["schema"]["type"] == "string"
    assert stream["text/event-stream"]["x-itemSchema"] == {"$ref": "#/components/schemas/JobEvent"}


def test_every_binary_answer_has_a_media_type_that_generators_know(operations: list[dict[str, Any]]):
    contents = [answer.get("content", {}) for o in operations for answer in o["responses"].values()]
    binary = [content for content in contents if "*/*" in content]
    assert binary
    assert all("application/octet-stream" in content for content in binary)


def test_every_operation_documents_its_security(document: dict[str, Any], operations: list[dict[str, Any]]):
    sent = [operation for methods in document["webhooks"].values() for operation in methods.values()]
    assert all(operation["security"] == [] for operation in operations + sent)


def test_paths_begin_at_the_root_of_the_server(document: dict[str, Any]):
    assert document["servers"] == [{"url": "/"}]


async def test_examples_are_accepted_as_they_stand_but_those_that_need_a_file_say_so(
    document: dict[str, Any],
):
    submissions = Submissions(load_job_types())
    examples = _examples(document, "/v1/jobs")
    needs_file = {
        name: bool(submissions.validate(example["value"]).files) for name, example in examples.items()
    }
    assert list(needs_file.values()) == sorted(needs_file.values())  # /docs offers the first one
    assert next(iter(needs_file)) == "echo"
    for name, needed in needs_file.items():
        assert ("uploaded" in examples[name]["summary"]) == needed, name
    batch = _examples(document, "/v1/jobs/batch")["batch"]["value"]
    assert not any(job.files for job in await submissions.validate_batch(batch))


def _examples(document: dict[str, Any], path: str) -> dict[str, Any]:
    body = document["paths"][path]["post"]["requestBody"]
    examples: dict[str, Any] = body["content"]["application/json"]["examples"]
    return examples


def test_generators_see_that_labels_may_be_given(document: dict[str, Any]):
    labels = document["components"]["schemas"]["EchoJob"]["properties"]["labels"]
    assert labels["additionalProperties"] == {"maxLength": 128, "type": "string"}
    assert labels["propertyNames"]["pattern"].startswith("^[A-Za-z0-9]")
    assert "patternProperties" not in labels
