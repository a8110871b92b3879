"""The roles that functions log in as, as the template names them."""

from pathlib import Path
from urllib.parse import quote, urlsplit

from tests.unit.documents.test_names import TEMPLATE, variables

SERVICE, CATALOG, OWNER = "favorites_service", "favorites_catalog", "the owner"
PASSWORDS = {SERVICE: "the service's fine 'password' % ", CATALOG: 'the catalog\'s \\ "password" é'}

_GLOBAL_VARIABLES = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
_OF_SECRET = {"ServiceCredentials": SERVICE, "CatalogCredentials": CATALOG}  # template.yaml, Secrets


def role_of(folder: str) -> str:
    """Who a function logs in as: the template says it, for all or for this one."""
    secret = (_GLOBAL_VARIABLES | variables(folder))["DATABASE_CREDENTIALS"]
    return _OF_SECRET.get(secret.get("Ref"), OWNER)


ROLE_OF = {
    path.parent.name: role_of(path.parent.name)
    for path in sorted(Path(__file__).parents[2].glob("functions/*/handler.py"))
}


def url_for(role: str, url: str, password: str | None = None) -> str:
    """The address of the owner's database for a role, with the password that it was given."""
    parts = urlsplit(url)
    given = quote((password or PASSWORDS[role]).encode(), safe="")
    return f"postgresql://{role}:{given}@{parts.hostname}:{parts.port}{parts.path}"
