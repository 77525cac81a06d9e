"""What the admin API answers when something is wrong: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError

MEDIA_TYPE: Final = "application/problem+json"


class ApiProblem(Exception):
    """An answer that is none of the expected ones. ``errors``: which field is wrong, and why."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[dict[str, str]] = (),
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}
        self.more = more

    def body(self) -> dict[str, Any]:
        """The members of RFC 9457 section 3.1; ``type`` is left out, which means about:blank."""
        body = {"title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.detail, **self.more}
        return body | {"errors": self.errors} if self.errors else body


def wrong_field(field: str, detail: str, *, status: int = 422) -> ApiProblem:
    """One field is wrong."""
    return ApiProblem(status, f"{field}: {detail}", errors=[{"field": field, "detail": detail}])


def wrong_fields(exc: ValidationError) -> ApiProblem:
    """What pydantic found, each with its field."""
    errors: dict[str, str] = {}
    for error in exc.errors(include_url=False, include_input=False, include_context=False):
        field = str(error["loc"][0]) if error["loc"] else ""
        message = error["msg"].removeprefix("Value error, ")
        # Each branch of a union complains: all of it belongs to one field.
        errors[field] = f"{errors[field]}; {message}" if field in errors else message
    found = [{"field": field, "detail": detail} for field, detail in errors.items()]
    return ApiProblem(422, "; ".join(f"{one['field']}: {one['detail']}" for one in found), errors=found)
