"""Schemas of a job's event stream."""

JOB_EVENT = {
    "type": "object",
    "title": "JobEvent",
    "description": "One event of the stream of a job: its record, or a line of its log.",
    "properties": {
        "event": {"type": "string", "description": "`log` for a line of the log; absent for a record."},
        "id": {"type": "string", "description": "The record's version, for `Last-Event-ID`."},
        "retry": {
            "type": "integer",
            "description": "Milliseconds before a reader connects again; in the first event alone.",
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/JobRecord"},
                    {"$ref": "#/components/schemas/LogLine"},
                ]
            },
        },
    },
    "required": ["data"],
}
# Generators fail on an object as the schema of a stream, or read the stream as JSON; as text, all take it.
# OpenAPI 3.2 calls the schema of one event `itemSchema`; under 3.1 it is an extension.
EVENT_STREAM = {
    "text/event-stream": {
        "schema": {"type": "string", "description": "Server-Sent Events, each as `JobEvent` has it."},
        "x-itemSchema": {"$ref": "#/components/schemas/JobEvent"},
    }
}
