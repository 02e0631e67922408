"""What `make fuzz-api` asks of answers to requests that break the contract: that they are refused.

A value that is zero or empty is the same as none in this API (api/DESIGN.md), whatever its schema says,
so a request that has one is not held to it."""

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection


def has_zero(value):
    if isinstance(value, dict):
        return any(has_zero(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return not value or any(has_zero(v) for v in value)
    return value in (None, "", "0", 0, "null")


@schemathesis.check
def refused(ctx, response, case):
    if not has_zero([case.query or "-", case.body or "-"]):
        return negative_data_rejection(ctx, response, case)
