"""Resources of KEDA: the fields that the manifests here use, as KEDA 2.18 documents them.

Its definitions are in no package that can be checked offline, so a field that is missing here is a fault.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Count = Annotated[int, Field(ge=0)]
Digits = Annotated[str, Field(pattern=r"^[0-9]+$")]  # KEDA's metadata has strings alone


class Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, alias_generator=to_camel, validate_by_name=False, validate_by_alias=True
    )


class Name(Part):
    name: str


class Metadata(Part):
    name: str
    namespace: str
    labels: dict[str, str] = {}


class Fallback(Part):
    failure_threshold: Annotated[int, Field(ge=1)]
    replicas: Count
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]


class ScaleDown(Part):
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)]


class Behavior(Part):
    scale_down: ScaleDown


class HorizontalPodAutoscalerConfig(Part):
    behavior: Behavior


class Advanced(Part):
    horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig


class MetricsApi(Part):
    """A number in the JSON of an HTTP API, asked with an API key in a header."""

    url: str
    value_location: str
    target_value: Digits
    activation_target_value: Digits
    auth_mode: Literal["apiKey"]
    key_param_name: str


class Trigger(Part):
    type: Literal["metrics-api"]
    metadata: MetricsApi
    authentication_ref: Name


class ScaledObjectSpec(Part):
    scale_target_ref: Name
    polling_interval: Annotated[int, Field(ge=1)]
    cooldown_period: Count
    min_replica_count: Count
    max_replica_count: Annotated[int, Field(ge=1)]
    fallback: Fallback
    advanced: Advanced
    triggers: Annotated[list[Trigger], Field(min_length=1)]


class SecretTarget(Part):
    parameter: Literal["apiKey"]
    name: str
    key: str


class TriggerAuthenticationSpec(Part):
    secret_target_ref: Annotated[list[SecretTarget], Field(min_length=1)]


class Resource(Part):
    api_version: Literal["keda.sh/v1alpha1"]
    kind: str
    metadata: Metadata


class ScaledObject(Resource):
    spec: ScaledObjectSpec


class TriggerAuthentication(Resource):
    spec: TriggerAuthenticationSpec


KINDS: dict[str, type[Resource]] = {kind.__name__: kind for kind in (ScaledObject, TriggerAuthentication)}


def is_keda(resource: dict[str, Any]) -> bool:
    return str(resource["apiVersion"]).startswith("keda.sh/")
