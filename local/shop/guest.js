// The favorites of somebody who is not logged in: a list in this browser, until a log-in takes it along.

import * as api from "./api.js";

const STORE = "shop.guest";
const MAX = 100; // products: what one POST /favorite-changes and one GET /products take

/** The list, newest first: `[{product_id, favorited_at}]`. */
export const list = () => api.stored(STORE, (value) => Array.isArray(value) && value.every(isMark)) ?? [];

const isMark = (value) => typeof value?.product_id === "string" && !Number.isNaN(Date.parse(value.favorited_at));

/** The ids of the list. */
export const ids = () => list().map(({ product_id }) => product_id);

/** Mark a product. Throws a Problem when the list is full. */
export function mark(product_id) {
  const others = list().filter((each) => each.product_id !== product_id);
  if (others.length >= MAX) {
    throw new api.Problem({ type: "guest-list-full", title: "The list is full", max: MAX });
  }
  keep([{ product_id, favorited_at: new Date().toISOString() }, ...others]);
}

/** Unmark products. */
export const unmark = (...gone) => keep(list().filter(({ product_id }) => !gone.includes(product_id)));

/** Give the list to the client who has logged in, in one request. Returns what became of it; null if it is empty.
 *
 * When the request fails, the list stays, and merging it again later does no harm: what is a favorite already
 * keeps its date and price. So does a product stay that only the catalog could confirm, and did not. */
export async function merge() {
  const marked = list();
  if (marked.length === 0) return null;
  // By this service's clock, which may differ from that of this machine.
  const add = marked.map(({ product_id, favorited_at }) => {
    const time = api.serviceTime(Date.parse(favorited_at));
    return { product_id, favorited_at: new Date(time).toISOString() };
  });
  add.reverse(); // the oldest first: of times ahead, the last product counts as the newest
  const answer = await api.changeFavorites({ add });
  const later = answer.refused.filter(({ type }) => type === "/problems/catalog-unavailable");
  const waiting = later.map(({ product_id }) => product_id);
  unmark(...add.map(({ product_id }) => product_id).filter((id) => !waiting.includes(id)));
  return answer;
}

const keep = (marked) => localStorage.setItem(STORE, JSON.stringify(marked));
