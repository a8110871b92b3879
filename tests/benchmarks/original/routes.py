"""What this service is compared with: the smallest one on the original's stack, one app for all routes.

It does less than ours: no caller is checked, nothing is validated beyond the types, no event is kept, nothing
is logged. Its tables are of its own, but for the products.
"""
# The stack is not among our development packages: to mypy its classes and decorators are unknown.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import Response
from mangum import Mangum
from pydantic import BaseModel
from redis.asyncio import Redis
from tortoise import Tortoise, fields
from tortoise.models import Model


class Product(Model):
    product_id = fields.CharField(max_length=64, primary_key=True)
    title = fields.TextField()
    price = fields.DecimalField(max_digits=12, decimal_places=2)
    image = fields.TextField()

    class Meta:
        table = "products"


class Favorite(Model):
    id = fields.BigIntField(primary_key=True)
    client_id = fields.TextField()
    product: Any = fields.ForeignKeyField("models.Product", db_constraint=False)
    favorited_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "original_favorites"


class FavoriteOut(BaseModel):
    product_id: str
    title: str
    price: float
    image: str
    favorited_at: datetime


def database() -> dict[str, Any]:
    """The connection that DATABASE_URL names, as Tortoise's configuration has it."""
    url = urlsplit(os.environ["DATABASE_URL"])
    query = parse_qs(url.query)
    credentials: dict[str, Any] = {
        "host": url.hostname,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "database": url.path.lstrip("/"),
    }
    if "sslrootcert" in query:
        credentials["ssl"] = ssl.create_default_context(cafile=query["sslrootcert"][0])
    return {"engine": "tortoise.backends.asyncpg", "credentials": credentials}


def serve(*models: str) -> Mangum:
    """The Lambda handler, with Tortoise set up once for all that it will answer.

    Tortoise's guide for FastAPI has it in the application's lifespan, which Mangum goes through with every
    request: each would connect anew.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    config = {
        "connections": {"default": database()},
        "apps": {"models": {"models": list(models), "default_connection": "default"}},
    }
    loop.run_until_complete(Tortoise.init(config=config, _enable_global_fallback=True))
    return Mangum(app, lifespan="off")


app = FastAPI()
redis = Redis.from_url(os.environ["REDIS_URL"])

ClientId = Annotated[str, Header()]


@app.get("/products/{product_id}")
async def get_product(product_id: str) -> Response:
    return await cached(f"original:{product_id}")


@app.get("/products")
async def list_products(limit: int = 20) -> Response:
    return await cached(f"original:page:{limit}")


async def cached(key: str) -> Response:
    body = await redis.get(key)
    if body is None:
        raise HTTPException(404)
    return Response(body, media_type="application/json")


@app.get("/favorites")
async def list_favorites(client_id: ClientId, limit: int = 20) -> list[FavoriteOut]:
    rows = Favorite.filter(client_id=client_id).order_by("-favorited_at").limit(limit)
    return [shown(row) for row in await rows.select_related("product")]


@app.put("/favorites/{product_id}")
async def add_favorite(product_id: str, client_id: ClientId) -> FavoriteOut:
    product = await Product.get_or_none(product_id=product_id)
    if product is None:
        raise HTTPException(404)
    favorite, _ = await Favorite.get_or_create(client_id=client_id, product_id=product_id)
    favorite.product = product
    return shown(favorite)


@app.delete("/favorites/{product_id}", status_code=204)
async def remove_favorite(product_id: str, client_id: ClientId) -> None:
    await Favorite.filter(client_id=client_id, product_id=product_id).delete()


def shown(favorite: Favorite) -> FavoriteOut:
    product = favorite.product
    return FavoriteOut(
        product_id=product.product_id,
        title=product.title,
        price=product.price,
        image=product.image,
        favorited_at=favorite.favorited_at,
    )
