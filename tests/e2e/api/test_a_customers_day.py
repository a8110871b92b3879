"""One customer's day with the shop, from the first visit to the last."""

from tests.e2e.api.service import Service, next_page


def test_a_customers_day(service: Service) -> None:
    ana = {"email": "ana.souza@a-day.example.com", "password": "correct horse battery"}

    with service.visitor() as shop:
        # In the morning she looks around: kitchen things, the cheapest first, two pages of them.
        first = shop.get("/products", params={"category": "kitchen", "sort": "price", "limit": 5})
        more = shop.get(next_page(first) or "")
        seen = [*first.json()["items"], *more.json()["items"]]
        assert len({product["product_id"] for product in seen}) == 10
        assert [product["price"] for product in seen] == sorted(product["price"] for product in seen)

        # She reads about one of them, and again later: her browser has kept it.
        skillet = seen[0]
        detail = shop.get(f"/products/{skillet['product_id']}")
        assert detail.json() == skillet
        kept = shop.get(
            f"/products/{skillet['product_id']}", headers={"If-None-Match": detail.headers["etag"]}
        )
        assert kept.status_code == 304

        # To keep it as a favorite she needs to be somebody.
        assert shop.put(f"/favorites/{skillet['product_id']}").status_code == 401
        registered = shop.post("/clients", json={"name": "Ana Souza", **ana})
        assert registered.status_code == 201
        tokens = shop.post("/auth/login", json=ana).json()

    with service.visitor(tokens["access_token"]) as shop:
        assert shop.get("/clients/me").json() == registered.json()

        # She marks three, one of them twice, and takes one back.
        for product in seen[:3]:
            assert shop.put(f"/favorites/{product['product_id']}").status_code == 201
        assert shop.put(f"/favorites/{skillet['product_id']}").status_code == 200
        assert shop.delete(f"/favorites/{seen[1]['product_id']}").status_code == 204
        assert shop.get(f"/favorites/{seen[1]['product_id']}").status_code == 404

        # What is left is there, the newest first, at today's price.
        favorites = shop.get("/favorites").json()["items"]
        assert [item["product_id"] for item in favorites] == [seen[2]["product_id"], skillet["product_id"]]
        assert [item["price"] for item in favorites] == [seen[2]["price"], skillet["price"]]
        assert all(item["available"] for item in favorites)

        # She marries, and changes her name.
        renamed = shop.patch("/clients/me", json={"name": "Ana Souza Costa"})
        assert renamed.json()["name"] == "Ana Souza Costa"

        # In the evening her access token has run out; the refresh token gets her a new one, once.
        fresh = shop.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()

    with service.visitor(fresh["access_token"]) as shop:
        assert shop.get("/clients/me").json() == renamed.json()
        assert shop.get("/favorites").json()["items"] == favorites

        # She logs out, and the session is over.
        held = {"refresh_token": fresh["refresh_token"]}
        assert shop.post("/auth/logout", json=held).status_code == 204
        assert shop.post("/auth/refresh", json=held).status_code == 401

    # Months later she logs in one last time, and leaves for good.
    last = service.log_in(ana["email"], ana["password"])
    with service.visitor(last["access_token"]) as shop:
        assert shop.delete("/clients/me").status_code == 204
        assert shop.get("/favorites").status_code == 401
        assert shop.post("/auth/login", json=ana).status_code == 401
