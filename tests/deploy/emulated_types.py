"""The resource types that the embedded emulator deploys."""

from __future__ import annotations

WITHOUT_PROPERTIES_OF_THEIR_OWN = frozenset({"AWS::CDK::Metadata", "AWS::CloudFormation::CustomResource"})
"""CDK's telemetry, which CloudFormation keeps no schema of, and what takes any property there is."""


def emulated_types() -> list[str]:
    """Sorted, those alone that have property names of their own."""
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    return sorted(set(_RESOURCE_HANDLERS) - WITHOUT_PROPERTIES_OF_THEIR_OWN)
