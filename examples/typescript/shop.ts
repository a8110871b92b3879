// What a shop does with the types that openapi-typescript generated: compiled by tsc, run by the test with an
// address and an e-mail.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Problem = components["schemas"]["Problem"];
type GatewayError = components["schemas"]["GatewayError"];
type Favorite = components["schemas"]["Favorite"];

declare const process: { argv: string[] };

const PASSWORD = "correct horse battery";

function is(found: unknown, expected: unknown): void {
  const [one, two] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== two) throw new Error(`${one} is not ${two}`);
}

// API Gateway's own errors have a message and no type.
function reason(error: Problem | GatewayError | undefined): string | undefined {
  return error && ("type" in error ? error.type : error.message);
}

function good<T>(answer: { data?: T; error?: Problem | GatewayError | undefined; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status} ${reason(answer.error)}`);
  return answer.data;
}

async function logIn(address: string, email: string) {
  const visitor = createClient<paths>({ baseUrl: address });
  const account = good(await visitor.POST("/clients", { body: { name: "Ana", email, password: PASSWORD } }));
  is(account.email, email);
  const tokens = good(await visitor.POST("/auth/login", { body: { email, password: PASSWORD } }));
  return createClient<paths>({
    baseUrl: address,
    headers: { Authorization: `Bearer ${tokens.access_token}` },
  });
}

const [address, email] = process.argv.slice(2) as [string, string];
const client = await logIn(address, email);

// Mark.
const marked = good(await client.PUT("/favorites/{product_id}", { params: { path: { product_id: "7" } } }));
is(marked.price, marked.price_when_favorited);

// Merge what the guest collected, twice.
const add = [
  { product_id: "3", favorited_at: new Date(Date.now() - 2 * 86_400_000).toISOString() },
  { product_id: "7" },
  { product_id: "998" },
];
const merged = good(await client.POST("/favorite-changes", { body: { add } }));
is([merged.added, merged.already, merged.count], [["3"], ["7"], 2]);
is(merged.refused, [{ product_id: "998", type: "/problems/unknown-product" }]);
is(good(await client.POST("/favorite-changes", { body: { add, remove: ["12"] } })).added, []);

// List, a page after the other.
const items: Favorite[] = [];
let cursor: string | null = null;
do {
  const query: { limit: number; sort: "price"; cursor?: string } = { limit: 1, sort: "price" };
  if (cursor !== null) query.cursor = cursor;
  const page: components["schemas"]["FavoritePage"] = good(await client.GET("/favorites", { params: { query } }));
  is(page.count, 2);
  items.push(...page.items);
  cursor = page.next_cursor;
} while (cursor !== null);
is(items.map((each) => each.product_id).sort(), ["3", "7"]);

// Hearts, and the 304 of who has them.
const asked = { query: { product_id: ["7", "12", "3"] } };
const hearts = await client.GET("/favorite-ids", { params: asked });
is(good(hearts).product_ids, ["7", "3"]);
const etag = hearts.response.headers.get("ETag") ?? "";
const same = await client.GET("/favorite-ids", {
  params: { ...asked, header: { "If-None-Match": etag } },
});
is(same.response.status, 304);

// Errors are typed too: problems of the service, and what API Gateway itself answers where there is no route.
const refused = await client.POST("/favorites", { body: { product_id: "7" } });
is([reason(refused.error), refused.response.status], ["/problems/already-favorite", 409]);
const lost = createClient<paths>({ baseUrl: `${address}/v2` });
const answer = await lost.GET("/products/{product_id}", { params: { path: { product_id: "7" } } });
is(reason(answer.error), "Not Found");
