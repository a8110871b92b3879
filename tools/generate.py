"""Writes all generated files: `make generate`."""

from tools import contract, openapi, samples, schemas

if __name__ == "__main__":
    openapi.write()
    contract.write()
    schemas.write()
    samples.write()
