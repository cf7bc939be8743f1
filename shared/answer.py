"""The configuration of the models whose objects the server sends."""

from pydantic import ConfigDict

# The schema requires every field. Pydantic would leave out of `required` each field that has a default, and
# generated clients would take it for one that may be absent.
ALWAYS_SENT = ConfigDict(
    json_schema_mode_override="serialization", json_schema_serialization_defaults_required=True
)
