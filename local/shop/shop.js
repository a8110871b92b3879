// The page: products with hearts, one product, and the list of favorites, of a client or of a guest.

import * as account from "./account.js";
import * as address from "./address.js";
import * as api from "./api.js";
import { card, heart, paint } from "./cards.js";
import { $, element } from "./elements.js";
import * as guest from "./guest.js";
import * as problems from "./problems.js";
import * as sharing from "./sharing.js";
import { texts, translate } from "./texts.js";

const PAGE = 24; // products
const MOST_PAGES = 10; // that a reload loads again
const NEWS = 4_000; // milliseconds that good news stay

let turn = new AbortController(); // of what is shown: what comes next aborts what is still on its way
let shown = ""; // the view on the screen
let nextCursor = null;
let count = 0;
let timer; // takes good news away

// ── What is shown ────────────────────────────────────────────────────────────────────────────────────────────

/** Show what the address asks for. Resolves to whether that worked. */
async function show() {
  const asked = address.read();
  const view = `${asked.view}/${asked.id ?? ""}`;
  const isNew = view !== shown;
  shown = view;
  showFrame(asked);
  if (isNew) $("list").replaceChildren(); // nothing of the view before stays under the new title
  for (const id of ["note", "empty", "more"]) $(id).hidden = true;
  clearProblem();
  turn.abort();
  turn = new AbortController();
  const { signal } = turn;
  const works = await attempt(signal, async () => {
    await VIEWS[asked.view](asked, null, signal);
    for (let page = 1; page < Math.min(asked.pages, MOST_PAGES) && nextCursor !== null; page++) {
      await VIEWS[asked.view](asked, nextCursor, signal);
    }
  });
  if (isNew && works) scrollTo(0, 0);
  return works;
}

/** Show the next page below what is shown. */
async function showMore() {
  const asked = address.read();
  const before = $("list").childElementCount;
  const works = await attempt(turn.signal, () => VIEWS[asked.view](asked, nextCursor, turn.signal));
  if (!works) return;
  history.replaceState(null, "", address.write({ ...asked, pages: asked.pages + 1 }));
  $("list").children[before]?.querySelector("h2").focus();
}

async function attempt(signal, work) {
  $("list").setAttribute("aria-busy", "true");
  try {
    await work();
    return true;
  } catch (problem) {
    report(problem, signal);
    return false;
  } finally {
    if (!signal.aborted) $("list").removeAttribute("aria-busy");
  }
}

/** Everything around the list: title, links, filters, and who is logged in. */
function showFrame(asked) {
  const { view, category = "" } = asked;
  const loggedIn = api.session() !== null;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  setTitle({ product: texts.products, shared: texts.sharedList }[view] ?? texts[view]);
  $("back").hidden = view !== "product" && view !== "shared";
  $("products-form").hidden = view !== "products";
  $("favorites-form").hidden = view !== "favorites" || !loggedIn;
  for (const name of ["products-form", "favorites-form"]) {
    for (const field of $(name).elements) {
      if (field.type === "checkbox") field.checked = asked[field.name] === field.value;
      else if (field.name && field !== document.activeElement) field.value = asked[field.name] ?? "";
    }
  }
  $("category").hidden = category === "";
  $("category").textContent = `${category} ✕`;
  $("category").setAttribute("aria-label", texts.onlyCategory(category));
  $("category").href = address.write({ ...asked, category: "", pages: 1 });
  $("who").textContent = api.session()?.name ?? "";
  $("log-in").hidden = loggedIn;
  $("log-out").hidden = !loggedIn;
}

function setTitle(title) {
  $("title").textContent = title;
  document.title = `${title} – ${texts.name}`;
}

// ── The views ────────────────────────────────────────────────────────────────────────────────────────────────

const VIEWS = { products: showProducts, favorites: showFavorites, product: showProduct, shared: showShared };

async function showProducts({ sort, category, q }, cursor, signal) {
  const page = q
    ? { items: await api.search(q, { sort, category }, signal), next_cursor: null }
    : await api.products({ sort, category, cursor, limit: PAGE }, signal);
  const cards = page.items.map((product) => card(product, null, toggle));
  draw(cards, cursor, page.next_cursor, q ? texts.nothingFound(q) : texts.noProducts);
  await paintHearts(page.items.map(({ product_id }) => product_id), signal);
}

async function showProduct({ id }, cursor, signal) {
  const product = await api.product(id, signal);
  setTitle(product.title);
  draw([card(product, null, toggle, { whole: true })], null, null, "");
  await paintHearts([id], signal);
}

async function showShared({ id }, cursor, signal) {
  const page = await api.sharedFavorites(id, { cursor, limit: PAGE }, signal);
  setTitle(page.title ?? texts.sharedList);
  const cards = page.items.map((product) => card(product, null, toggle));
  draw(cards, cursor, page.next_cursor, texts.emptyShared);
  await paintHearts(page.items.map(({ product_id }) => product_id), signal);
}

async function showFavorites({ sort, price_dropped }, cursor, signal) {
  if (api.session() === null) return showGuestList(signal);
  const page = await api.favorites({ sort, price_dropped, cursor, limit: PAGE }, signal);
  setCount(page.count);
  const none = page.count && price_dropped ? texts.noneCheaper : texts.noFavorites;
  draw(page.items.map((favorite) => card(favorite, true, toggle)), cursor, page.next_cursor, none);
}

async function showGuestList(signal) {
  const ids = guest.ids();
  setCount(ids.length);
  const { items, missing } = ids.length ? await api.productsWith(ids, signal) : { items: [], missing: [] };
  const gone = missing.map((product_id) => ({ product_id, title: texts.unknownTitle(product_id), available: false }));
  draw([...items, ...gone].map((product) => card(product, true, toggle)), null, null, texts.emptyGuestList);
  $("note").hidden = ids.length === 0;
}

async function paintHearts(ids, signal) {
  if (api.session() === null) {
    setCount(guest.ids().length);
    paint(ids, guest.ids());
  } else if (ids.length) {
    const marked = await api.favoriteIds(ids, signal); // one request for all hearts of the page
    setCount(marked.count);
    paint(ids, marked.product_ids);
  }
}

/** Put cards into the list; a heart that has the focus keeps it. */
function draw(cards, cursor, next, none) {
  const focused = document.activeElement?.closest?.("#list .heart")?.dataset.productId;
  if (cursor === null) $("list").replaceChildren(...cards);
  else $("list").append(...cards);
  if (focused !== undefined) heart(focused)?.focus();
  nextCursor = next;
  $("more").hidden = next === null;
  $("empty").hidden = cards.length > 0 || cursor !== null;
  $("empty").textContent = none;
}

function setCount(number) {
  count = number;
  $("count").hidden = number === 0;
  $("count").textContent = number;
}

// ── What people do ───────────────────────────────────────────────────────────────────────────────────────────

/** Mark or unmark the product of a heart. It shows at once, and is taken back when the service refuses. */
async function toggle(button, title) {
  if (button.getAttribute("aria-busy") === "true") return;
  const id = button.dataset.productId;
  const mark = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(mark));
  button.setAttribute("aria-busy", "true");
  clearProblem();
  try {
    const keeper = api.session() === null ? guest : api;
    await (mark ? keeper.mark(id) : keeper.unmark(id));
    setCount(keeper === guest ? guest.ids().length : count + (mark ? 1 : -1));
    announce(mark ? texts.marked(title) : texts.unmarked(title));
  } catch (problem) {
    button.setAttribute("aria-pressed", String(!mark));
    report(problem);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

async function onLoggedIn() {
  announce(texts.welcome(api.session().name));
  await mergeGuestList();
  if (await show()) $("title").focus(); // the button that opened the dialog is gone
}

/** Add the guest's list to the client's favorites, and say what came of it. */
async function mergeGuestList() {
  try {
    const answer = await guest.merge();
    if (answer === null) return;
    const parts = [[answer.added, texts.merged], [answer.already, texts.already], [answer.refused, texts.refused]];
    const words = parts.filter(([ids]) => ids.length).map(([ids, text]) => text(ids.length));
    announce(texts.fromThisBrowser(words.join(", ")));
  } catch (problem) {
    report(problem); // the list is still there: the next time that the page opens, it is tried again
  }
}

async function logOut() {
  const ended = api.logOut().then(() => announce(texts.loggedOut), (problem) => report(problem));
  if (await show()) $("title").focus(); // as a guest, at once: the service may take its time
  await ended;
}

/** Go to what a form has chosen. */
function choose(form) {
  const asked = address.read();
  const chosen = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
  location.hash = address.write({ view: asked.view, category: asked.category, ...chosen });
}

// ── News and problems ────────────────────────────────────────────────────────────────────────────────────────

function announce(text) {
  clearTimeout(timer);
  $("news").textContent = text;
  timer = setTimeout(() => ($("news").textContent = ""), NEWS);
}

/** Show a problem, unless it is of a view that was left meanwhile. */
function report(problem, signal) {
  if (signal?.aborted || problem.type === "session-changed") return;
  const isEnd = problems.isEnd(problem);
  if (!(problem instanceof api.Problem)) console.error(problem);
  announce("");
  if (isEnd && !$("log-out").hidden) {
    api.forget();
    show().then(() => showProblem(problems.sentence(problem))); // as a guest
  } else {
    showProblem(problems.sentence(problem), signal !== undefined);
  }
}

/** `canRepeat`: what failed was showing a page, which the customer may try again. */
function showProblem(text, canRepeat = false) {
  const button = element("button", { type: "button" }, canRepeat ? texts.again : texts.close);
  button.addEventListener("click", canRepeat ? show : clearProblem);
  $("problem").replaceChildren(element("span", {}, text), button);
}

const clearProblem = () => $("problem").replaceChildren();

// ── Start ────────────────────────────────────────────────────────────────────────────────────────────────────

translate(document);
addEventListener("hashchange", async () => {
  const changesView = `${address.read().view}/${address.read().id ?? ""}` !== shown;
  const wasInList = document.activeElement?.closest("#list") !== null || document.activeElement === $("category");
  if (await show() && (changesView || wasInList)) $("title").focus();
});
addEventListener("storage", ({ key, oldValue, newValue }) => {
  // Another window logged in or out, or changed the guest's list. A new token of the same session changes nothing.
  if (key === "shop.guest" || (key === "shop.session" && api.clientOf(oldValue) !== api.clientOf(newValue))) show();
});
addEventListener("focus", () => {
  // Prices may have changed meanwhile; most of the time the answer is a 304. What was unmarked here leaves.
  if (address.read().view === "favorites" && $("list").childElementCount <= PAGE && !account.isOpen()) show();
});
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is shown
  $("list").focus();
});
for (const name of ["products-form", "favorites-form"]) {
  $(name).addEventListener("change", ({ target }) => target.type !== "search" && choose($(name)));
  $(name).addEventListener("submit", (event) => {
    event.preventDefault();
    choose($(name));
  });
}
$("products-form").elements.q.addEventListener("search", () => choose($("products-form"))); // its ✕, too
$("more").addEventListener("click", showMore);
$("log-in").addEventListener("click", account.open);
$("log-out").addEventListener("click", logOut);
account.start(onLoggedIn);
sharing.start(announce);

await show();
if (api.session() !== null && guest.ids().length) {
  await mergeGuestList(); // what the log-in could not take along
  await show();
}
