"""What cold starts are compared with: the smallest service on the original's stack, one app for all routes.

It does less than ours: no caller is checked, nothing is validated, no list is joined, nothing is logged.
"""
# The stack is not among our development packages: to mypy its classes and decorators are unknown.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi.responses import Response
from mangum import Mangum
from pydantic import BaseModel
from redis.asyncio import Redis
from tortoise import fields
from tortoise.contrib.fastapi import RegisterTortoise
from tortoise.models import Model


class Product(Model):
    """A row of the table that ours keeps too."""

    product_id = fields.CharField(max_length=64, primary_key=True)
    title = fields.TextField()
    price = fields.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        """Where it is kept."""

        table = "products"


class ProductOut(BaseModel):
    """A product as the API shows it."""

    product_id: str
    title: str
    price: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect when the application starts, as Tortoise's guide for FastAPI has it."""
    url = os.environ["DATABASE_URL"].replace("postgresql://", "asyncpg://")
    async with RegisterTortoise(app, db_url=url, modules={"models": [__name__]}):
        yield


app = FastAPI(lifespan=lifespan)
redis = Redis.from_url(os.environ["REDIS_URL"])


@app.get("/products/{product_id}")
async def get_product(product_id: str) -> Response:
    """Return the cached body."""
    body = await redis.get(f"original:{product_id}")
    if body is None:
        raise HTTPException(404)
    return Response(body, media_type="application/json")


@app.get("/favorites")
async def list_favorites(limit: int = 20) -> list[ProductOut]:
    """Return a page of rows."""
    return [
        ProductOut(product_id=row.product_id, title=row.title, price=row.price)
        for row in await Product.all().limit(limit)
    ]


lambda_handler = Mangum(app)
