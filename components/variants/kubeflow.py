"""Telling a Kubeflow Model Registry of a variant."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from components.variants.errors import VariantError

AUTHOR = "intent-store"


def tell_model_registry(address: str, record: Mapping[str, Any]) -> None:
    """Register a variant's version; one that is known already is left as it is.

    Args:
        address: of the registry's REST API, http://host:port or https://host.
        record: the variant's record.

    Raises:
        VariantError: the address makes no sense or does not answer.
    """
    from model_registry import ModelRegistry
    from model_registry.exceptions import StoreError
    from mr_openapi.exceptions import OpenApiException

    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise VariantError(f"{address}: not the address of a model registry (http://host:port)")
    told = {
        f"{section}.{name}": value
        for section in ("lineage", "metrics", "parameters")
        for name, value in record[section].items()
        if isinstance(value, bool | int | float | str)
    }
    secure = parts.scheme == "https"
    try:
        registry = ModelRegistry(
            f"{parts.scheme}://{parts.hostname}",
            parts.port or (443 if secure else 80),
            author=AUTHOR,
            is_secure=secure,
        )
        model, version = record["model"], record["version"]
        if registry.get_registered_model(model) and registry.get_model_version(model, version):
            return
        registry.register_model(
            model,
            record["uri"],
            version=version,
            model_format_name=AUTHOR,
            model_format_version=str(record["format"]),
            version_description=f"Variant {record['name']} of {record['service']}",
            metadata=told,
        )
    except (OSError, StoreError, OpenApiException) as error:
        raise VariantError(f"{address}: the model registry cannot be told: {error}") from error
