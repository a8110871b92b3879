"""Each test of a route runs as the database role that the template names for its function."""

import pytest

from local.servers.postgres import Postgres
from tests.integration.database_roles import ROLE_OF, SERVICE, url_for


@pytest.fixture(autouse=True)
def as_its_role(
    request: pytest.FixtureRequest, environment: pytest.MonkeyPatch, migrated_postgres: Postgres
) -> str:
    """What a function's role may not do fails its tests: add it in functions/run_migrations/grants/."""
    role = ROLE_OF.get(request.path.stem.removeprefix("test_"), SERVICE)
    environment.setenv("DATABASE_URL", url_for(role, migrated_postgres.url))
    return role
