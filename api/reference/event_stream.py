"""Schemas of a job's event stream."""

OUTPUT_EVENT = {
    "type": "object",
    "title": "OutputEvent",
    "properties": {
        "run": {"type": "integer", "description": "The number of the run that emitted the chunk."},
        "attempt": {"type": "integer", "description": "The attempt that the run makes."},
        "seq": {"type": "integer", "description": "The chunk's number within the run, from 1."},
        "chunk": {"description": "Any value of JSON, such as a piece of text."},
    },
    "required": ["run", "attempt", "seq", "chunk"],
    "additionalProperties": False,
}
JOB_EVENT = {
    "type": "object",
    "title": "JobEvent",
    "description": "One event of a job's stream: its record, a line of its log, or a chunk of its output.",
    "properties": {
        "event": {
            "type": "string",
            "description": "`log` for a line of the log, `output` for a chunk; absent for a record.",
        },
        "id": {
            "type": "string",
            "description": "The reader's place, for `Last-Event-ID`: the record's version, run and `seq`.",
        },
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
                    OUTPUT_EVENT,
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
ACTIVITY_EVENT = {
    "type": "object",
    "title": "ActivityEvent",
    "description": "One event of the stream of many jobs.",
    "properties": {
        "event": {"type": "string", "enum": ["job", "figures", "sampled", "unavailable"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/JobSummary"},
                    {"$ref": "#/components/schemas/LiveFigures"},
                    {
                        "type": "object",
                        "title": "Sampled",
                        "properties": {
                            "missed": {"type": "integer", "description": "Changed jobs that were left out."}
                        },
                        "required": ["missed"],
                    },
                    {
                        "type": "object",
                        "title": "Unavailable",
                        "properties": {name: {"type": "string"} for name in ("code", "message", "hint")},
                        "required": ["code", "message", "hint"],
                    },
                ]
            },
        },
    },
    "required": ["event", "data"],
}
ACTIVITY = {
    "text/event-stream": {
        "schema": {"type": "string", "description": "Server-Sent Events, each as `ActivityEvent` has it."},
        "x-itemSchema": {"$ref": "#/components/schemas/ActivityEvent"},
    }
}
