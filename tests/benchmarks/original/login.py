"""The same app with a log-in: it checks a password with Argon2id as ours does, and signs a token.

It is a module of its own so that no other route is slower for what only this one loads.
"""
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

import os
import time

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fastapi import HTTPException
from pydantic import BaseModel
from routes import app, serve
from tortoise import fields
from tortoise.models import Model

hasher = PasswordHasher()


class Client(Model):
    id = fields.BigIntField(primary_key=True)
    email = fields.TextField()
    password_hash = fields.TextField()

    class Meta:
        table = "original_clients"


class Credentials(BaseModel):
    email: str
    password: str


class Token(BaseModel):
    access_token: str


@app.post("/auth/login")
async def login(credentials: Credentials) -> Token:
    client = await Client.get_or_none(email=credentials.email)
    try:
        hasher.verify(client.password_hash if client else "", credentials.password)
    except VerificationError as error:
        raise HTTPException(401) from error
    claims = {"sub": str(client.id), "exp": int(time.time()) + 900}
    return Token(access_token=jwt.encode(claims, os.environ["ORIGINAL_KEY"], algorithm="HS256"))


lambda_handler = serve("routes", __name__)
