// A client of the favorites service. It knows docs/contract.md and nothing of the page that uses it.

// Here the page and the API have one origin. A shop with an origin of its own writes the API's address here, and
// its own into the parameter CorsOrigins of the API.
const API = "";
const PATIENCE = 10_000; // milliseconds; the service answers within 5 seconds, the rest is for the way
const STORE = "shop.session";
const PRICES = new Set(["price", "price_when_favorited", "price_change"]);

/** An answer that is no success (RFC 9457). Tell problems apart by `type`; it is "no-answer" when there was none. */
export class Problem extends Error {
  constructor({ type = "", title, status = 0, detail = "", errors = [], request_id = "", max, retryAfter }) {
    super(title);
    Object.assign(this, { type, title, status, detail, errors, requestId: request_id, max, retryAfter });
  }
}

// ── Products: for everybody ──────────────────────────────────────────────────────────────────────────────────

/** A page of products, `{items, next_cursor}`; `query` may have limit, cursor, category and sort. */
export const products = (query, signal) => get("/products", query, { signal });

/** One product. */
export const product = (id, signal) => get(`/products/${encodeURIComponent(id)}`, {}, { signal });

/** The products whose title or category has all these words, whatever their case and accents.
 *
 * The API has no search: this reads the first 1,000 products and looks through them, which is enough for a small
 * catalog. A larger shop asks its search engine. */
export async function search(words, query, signal) {
  const wanted = plain(words).split(/\s+/).filter(Boolean);
  const found = [];
  let cursor = null;
  for (let page = 0; page < 10; page++) {
    const { items, next_cursor } = await products({ ...query, cursor, limit: 100 }, signal);
    found.push(...items.filter(({ title, category }) => {
      const text = plain(`${title} ${category}`);
      return wanted.every((word) => text.includes(word));
    }));
    if (next_cursor === null || found.length >= 100) break;
    cursor = next_cursor;
  }
  return found.slice(0, 100); // as many as one request for their hearts may name
}

const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** The products with these ids, up to 100, in this order: `{items, missing}`. */
export const productsWith = (ids, signal) => get("/products", { product_id: ids.join() }, { signal });

// ── Favorites: for whoever is logged in ──────────────────────────────────────────────────────────────────────

/** Which of these products, up to 100, are favorites: `{product_ids, count, max}`. One request for all hearts.
 *
 * The answer is `private, no-cache` with an ETag: the browser keeps it, asks with If-None-Match by itself, and
 * gives us what it kept when the answer is a 304. So do `favorites`. */
export const favoriteIds = (ids, signal) =>
  get("/favorite-ids", { product_id: ids.join() }, { signal, client: true });

/** A page of favorites, `{items, next_cursor, count}`; `query` may have limit, cursor, sort and price_dropped. */
export const favorites = (query, signal) => get("/favorites", query, { signal, client: true });

/** Mark a product; repeating it changes nothing. Returns the favorite. */
export const mark = (id) => send("PUT", `/favorites/${encodeURIComponent(id)}`, { client: true });

/** Unmark a product. It is no problem when it was no favorite: another window may have been faster. */
export async function unmark(id) {
  try {
    await send("DELETE", `/favorites/${encodeURIComponent(id)}`, { client: true });
  } catch (problem) {
    if (problem.type !== "/problems/not-favorite") throw problem;
  }
}

/** Mark and unmark up to 100 products at once: `{add: [{product_id, favorited_at?}], remove: [product_id]}`.
 *
 * Returns what became of each. It may be repeated: the second time, nothing changes. */
export const changeFavorites = (body) => send("POST", "/favorite-changes", { body, client: true });

// ── Shared lists ─────────────────────────────────────────────────────────────────────────────────────────────

/** The client's links that have not ended, `{items, max}`. */
export const shares = () => get("/shares", {}, { client: true });

/** Make a link, `{title?, expires_at?}`. Returns it, with its token. */
export const createShare = (body) => send("POST", "/shares", { body, client: true });

/** End a link at once. It is no problem when it had ended: another window may have been faster. */
export async function endShare(id) {
  try {
    await send("DELETE", `/shares/${id}`, { client: true });
  } catch (problem) {
    if (problem.type !== "/problems/unknown-share") throw problem;
  }
}

/** A page of what is behind a link, for everybody: `{title, items, next_cursor}`. */
export const sharedFavorites = (token, query, signal) =>
  get(`/shared-favorites/${encodeURIComponent(token)}`, query, { signal });

// ── The session ──────────────────────────────────────────────────────────────────────────────────────────────
//
// All windows share it, so it is in localStorage. Every script of the page's origin can read it there: that is why
// the page admits no foreign script (its Content-Security-Policy) and never makes HTML of text. A shop with a
// server of its own keeps the refresh token there, behind a cookie that scripts cannot read.

/** Who is logged in: `{name, …}`, or null. */
export const session = () => stored(STORE, (value) => typeof value?.refresh_token === "string") ?? null;

/** Make an account. It is not logged in yet. */
export const register = (account) => send("POST", "/clients", { body: account });

/** Log in; from now on requests are those of this client. */
export async function logIn(email, password) {
  const tokens = await send("POST", "/auth/login", { body: { email, password } });
  const { client_id, name } = await send("GET", "/clients/me", { token: tokens.access_token });
  await locked(() => keep(tokens, { client_id, name }));
}

/** Log out. Whatever the service says, the tokens are forgotten here at once. */
export async function logOut() {
  const { refresh_token } = session() ?? {};
  forget(); // before the lock: a refresh under way may have it for seconds, and finds that its session is gone
  if (refresh_token) await locked(() => send("POST", "/auth/logout", { body: { refresh_token } }));
}

/** Forget the session here; the service does not learn of it. */
export const forget = () => localStorage.removeItem(STORE);

/** The client of a session as localStorage has it; null for none. */
export function clientOf(stored) {
  try {
    return JSON.parse(stored)?.client_id ?? null;
  } catch {
    return null;
  }
}

const locked = (work) => navigator.locks.request(STORE, work);

function keep({ access_token, refresh_token, expires_in }, { client_id, name }) {
  const refreshAt = Date.now() + (expires_in - 30) * 1000; // early enough for a slow request
  localStorage.setItem(STORE, JSON.stringify({ client_id, name, access_token, refresh_token, refreshAt }));
}

/** An access token of that client that is valid by our clock, and is not the one that was `refused`; null for a guest.
 *
 * Throws a Problem when the client logged out meanwhile: what one customer began is never done for the next one. */
async function accessToken(client, refused) {
  const valid = (kept) => kept.access_token !== refused && Date.now() < kept.refreshAt;
  const current = () => {
    const kept = session();
    if ((kept?.client_id ?? null) !== client) {
      throw new Problem({ type: "session-changed", title: "Another customer is logged in" });
    }
    return kept;
  };
  const kept = current();
  if (!kept || valid(kept)) return kept?.access_token;
  // One window at a time: a refresh token is good for one refresh, and using it again later ends the session.
  return locked(async () => {
    const latest = current();
    if (!latest || valid(latest)) return latest?.access_token;
    const { refresh_token } = latest;
    const isStillOurs = () => session()?.refresh_token === refresh_token;
    let tokens;
    try {
      tokens = await send("POST", "/auth/refresh", { body: { refresh_token } });
    } catch (problem) {
      if (problem.type === "/problems/invalid-refresh-token" && isStillOurs()) forget();
      throw problem;
    }
    if (isStillOurs()) {
      keep(tokens, latest);
      return tokens.access_token;
    }
    // The customer logged out while the answer was on its way: its session must not come back, nor live on.
    await send("POST", "/auth/logout", { body: { refresh_token: tokens.refresh_token } });
    return current()?.access_token;
  });
}

// ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────

let ahead = 0; // milliseconds that our clock is ahead of the service's

/** The time of the service in milliseconds, never ahead of it: people's clocks may be minutes wrong. */
export const serviceTime = (here = Date.now()) => here - ahead;

function get(path, query, options) {
  const asked = Object.entries(query).filter(([, value]) => value); // no empty parameters
  return send("GET", asked.length ? `${path}?${new URLSearchParams(asked)}` : path, options);
}

/** Send a request, as the client who is logged in if `client`; return the JSON of the answer. Throws Problem. */
async function send(method, path, { body, signal, client = false, token } = {}) {
  if (!client) return exchange(method, path, { body, signal, token });
  const of = session()?.client_id ?? null;
  const access = await accessToken(of);
  try {
    return await exchange(method, path, { body, signal, token: access });
  } catch (problem) {
    // It has expired by the service's clock, or all sessions have ended: a refresh tells which.
    if (problem.type !== "/problems/invalid-token" || !access) throw problem;
    return exchange(method, path, { body, signal, token: await accessToken(of, access) });
  }
}

async function exchange(method, path, { body, signal, token }) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (token) headers["Authorization"] = `Bearer ${token}`;
  const signals = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
  let answer, text;
  try {
    answer = await fetch(API + path, {
      method, headers, body: body && JSON.stringify(body), signal: AbortSignal.any(signals),
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error; // nobody waits for it any more
    throw new Problem({ type: "no-answer", title: "No answer", detail: String(error) });
  }
  const date = Date.parse(answer.headers.get("Date"));
  if (date && answer.headers.get("Age") === null) ahead = Date.now() - date; // no Date from the browser's cache
  if (answer.ok) return text ? parse(text) : null;
  throw problemOf(answer, text);
}

/** JSON with prices as the text that was sent: 11.20 stays 11.20, and no digit is lost in a binary number. */
function parse(text) {
  // A browser older than 2025 has no source: it shows the number.
  return JSON.parse(text, (key, value, context) => (PRICES.has(key) && value !== null ? (context?.source ?? String(value)) : value));
}

function problemOf(answer, text) {
  const retryAfter = Number.parseInt(answer.headers.get("Retry-After"), 10) || undefined; // seconds
  if (answer.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return new Problem({ ...JSON.parse(text), status: answer.status, retryAfter });
  }
  // API Gateway's own: throttled, no such route.
  return new Problem({ title: `The service answered with ${answer.status}`, status: answer.status, retryAfter });
}

/** What localStorage has under the name, if it is JSON and `isValid`: people and other scripts may change it. */
export function stored(name, isValid) {
  try {
    const value = JSON.parse(localStorage.getItem(name));
    return isValid(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
