"""The settings from the shell: parameters of template.yaml, and variables that only the cloud sets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.aws.template import declared_parameters
from local.servers.services import ServiceFailed
from shared.accounts.passwords import checked_password
from shared.formats.emails import checked_email
from shared.platform.settings import MissingSetting, keys_of

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"

# Without those for AWS only, and names that a shell may use otherwise (STAGE).
PARAMETERS = (
    *("CatalogUrl", "CatalogMapping", "CatalogCurrency", "CatalogHeaders"),
    *("ProductCacheTtlSeconds", "CatalogPollMinutes", "AllowMassRemoval"),
    *("AdminEmail", "LogLevel", "CorsOrigins", "SessionMaxDays"),
)
# In the cloud: the stack's own database, cache and secrets.
VARIABLES = ("DATABASE_URL", "REDIS_URL", "ACCESS_TOKEN_KEYS", "ADMIN_PASSWORD", "CATALOG_AUTHORIZATION")

_USER = r"(?:[^%\s@/?#]|%[0-9A-Fa-f]{2})*@"
_HOST = r"(?:[^\s@/?#:,\[\]]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_POSTGRES = (
    rf"postgres(?:ql)?://(?:{_USER})?{_HOST}(?:,{_HOST})*(?:/(?:[^%\s?#]|%[0-9A-Fa-f]{{2}})*)?(?:\?\S*)?"
)
_REDIS = rf"rediss?://(?:{_USER})?{_HOST}(?:/[0-9]*)?(?:\?\S*)?"


def settings_from(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a Stack's settings from the shell; empty values do not count."""
    names = [*map(_variable, PARAMETERS), *VARIABLES]
    return {name: environment[name] for name in names if environment.get(name)}


def parameters_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are parameters of the template, by their names; with schedules on."""
    names = {_variable(name): name for name in PARAMETERS}
    given = {names[variable]: value for variable, value in settings.items() if variable in names}
    return {"KeepHot": "true", **given}


def variables_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are no parameters: values of functions' variables."""
    return {name: settings[name] for name in VARIABLES if name in settings}


def check(settings: Mapping[str, str]) -> None:
    """Check the settings against the template's constraints, as CloudFormation does.

    Raises ServiceFailed with one sentence that names the variable; secrets are not shown.
    """
    declared = declared_parameters(TEMPLATE)
    for name in PARAMETERS:
        variable = _variable(name)
        value = settings.get(variable)
        if value is not None and (wanted := _unmet(declared[name], value)) is not None:
            raise ServiceFailed(f"{variable} must {wanted}, not {value!r}.")
    _check_address("DATABASE_URL", settings, _POSTGRES, "postgresql://user:password@host:port/database")
    _check_address("REDIS_URL", settings, _REDIS, "redis://host:port")
    if not 8 <= len(settings.get("ADMIN_PASSWORD", " " * 8)) <= 128:
        raise ServiceFailed("ADMIN_PASSWORD must have 8 to 128 characters.")
    for variable, checked in (("ADMIN_EMAIL", checked_email), ("ADMIN_PASSWORD", checked_password)):
        try:
            if variable in settings:
                checked(settings[variable])
        except ValueError as error:
            raise ServiceFailed(f"{variable}: {error}") from error
    if "ACCESS_TOKEN_KEYS" in settings:
        _check_keys(settings["ACCESS_TOKEN_KEYS"])


def whole_number(environment: Mapping[str, str], variable: str, default: int) -> int:
    """Return a variable's whole number, 1 or more. Raises ServiceFailed."""
    value = environment.get(variable) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) == 0:
        raise ServiceFailed(f"{variable} must be a whole number from 1 on, not {value!r}.")
    return int(value)


def port(value: str) -> int:
    """Return the TCP port in a text. Raises ServiceFailed."""
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > 65_535:
        raise ServiceFailed(f"PORT must be a whole number from 0 to 65535, not {value!r}.")
    return int(value)


def _unmet(declared: Mapping[str, Any], value: str) -> str | None:
    """Return the constraint that a parameter's value violates, or None."""
    if "AllowedValues" in declared:
        allowed = [str(each) for each in declared["AllowedValues"]]
        return None if value in allowed else f"be {', '.join(allowed[:-1])} or {allowed[-1]}"
    if declared["Type"] == "Number":
        least, most = float(declared.get("MinValue", "-inf")), float(declared.get("MaxValue", "inf"))
        is_met = re.fullmatch(r"-?[0-9]{1,15}", value) and least <= int(value) <= most
        return None if is_met else f"be a whole number from {least:g} to {most:g}"
    least, most = int(declared.get("MinLength", 0)), int(declared.get("MaxLength", 4096))
    if not least <= len(value) <= most:
        return f"have {least} to {most} characters"
    if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], value):
        return f"look like {declared['AllowedPattern']}"
    return None


def _check_address(variable: str, settings: Mapping[str, str], pattern: str, form: str) -> None:
    """Raise ServiceFailed for an invalid address, without it: it may contain a password."""
    if variable in settings and not re.fullmatch(pattern, settings[variable]):
        raise ServiceFailed(f"{variable} must look like {form}, its special characters percent-encoded.")


def _check_keys(text: str) -> None:
    try:
        keys_of(text)
    except MissingSetting as error:
        raise ServiceFailed(f"{error}.") from error


def _variable(parameter: str) -> str:
    """Return the environment variable of a parameter: CATALOG_URL for CatalogUrl."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", parameter).upper()
