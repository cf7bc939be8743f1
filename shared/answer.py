"""The configuration of the models whose objects the server sends."""

from pydantic import ConfigDict

# The schema requires every field. Pydantic would leave fields with a default out of `required`, and generated
# clients would take them for fields that may be absent.
ALWAYS_SENT = ConfigDict(
    json_schema_mode_override="serialization", json_schema_serialization_defaults_required=True
)
