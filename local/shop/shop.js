// The page: a grid of products with hearts, and the list of favorites, of a client or of a guest.
//
// Text of the catalog, of people and of problems goes into the page as text nodes only, never as HTML.

import * as api from "./api.js";
import * as guest from "./guest.js";
import { picture } from "./picture.js";

const PAGE = 24; // products
const DATE = { day: "numeric", month: "long", year: "numeric" };
const SAID = 8000; // milliseconds that good news stay
const ENDED = ["/problems/missing-credentials", "/problems/invalid-refresh-token"]; // there is no session then
const $ = (id) => document.getElementById(id);

let turn = new AbortController(); // of what is shown: what comes next aborts what is still on its way
let category = "";
let nextCursor = null;
let count = 0;
let silence; // the timer that takes good news away

// ── What is shown ────────────────────────────────────────────────────────────────────────────────────────────

/** Show the page of the address, anew. */
async function show() {
  const onFavorites = location.hash === "#favorites";
  const loggedIn = api.session() !== null;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === (onFavorites ? "#favorites" : "#products")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  $("title").textContent = onFavorites ? "Favorites" : "Products";
  $("products-form").hidden = onFavorites;
  $("favorites-form").hidden = !onFavorites || !loggedIn;
  $("category").hidden = category === "";
  $("category").textContent = `${category} ✕`;
  $("category").setAttribute("aria-label", `Only ${category}: show all categories again`);
  $("who").textContent = api.session()?.name ?? "";
  $("log-in").hidden = loggedIn;
  $("log-out").hidden = !loggedIn;
  await load(null);
}

/** Load a page of the list: the first, which takes the place of what is shown, or the one after the cursor. */
async function load(cursor) {
  turn.abort();
  turn = new AbortController();
  const { signal } = turn;
  $("list").setAttribute("aria-busy", "true");
  try {
    const page = location.hash === "#favorites" ? favoritesPage : productsPage;
    await page(cursor, signal);
  } catch (problem) {
    report(problem, signal);
  } finally {
    if (!signal.aborted) $("list").removeAttribute("aria-busy");
  }
}

async function productsPage(cursor, signal) {
  const query = { ...chosen("products-form"), category, cursor, limit: PAGE };
  const { items, next_cursor } = await api.products(query, signal);
  draw(items.map((product) => card(product, null)), cursor, next_cursor, "There are no products here.");
  const ids = items.map(({ product_id }) => product_id);
  if (api.session() === null) {
    setCount(guest.ids().length);
    paint(ids, guest.ids());
  } else if (ids.length) {
    const marked = await api.favoriteIds(ids, signal); // one request for all hearts of the page
    setCount(marked.count);
    paint(ids, marked.product_ids);
  }
}

async function favoritesPage(cursor, signal) {
  if (api.session() === null) return guestsPage(signal);
  const asked = chosen("favorites-form");
  const page = await api.favorites({ ...asked, cursor, limit: PAGE }, signal);
  setCount(page.count);
  const none = page.count && asked.price_dropped
    ? "None of your favorites costs less than when you marked it."
    : "You have no favorites yet. Mark a product with its heart.";
  draw(page.items.map((favorite) => card(favorite, true)), cursor, page.next_cursor, none);
}

async function guestsPage(signal) {
  const ids = guest.ids();
  setCount(ids.length);
  const { items, missing } = ids.length ? await api.productsWith(ids, signal) : { items: [], missing: [] };
  const gone = missing.map((product_id) => ({ product_id, title: `Product ${product_id}`, available: false }));
  const cards = [...items, ...gone].map((product) => card(product, true));
  draw(cards, null, null, "Your list is empty. Mark a product with its heart: you need no account.");
  $("note").hidden = ids.length === 0;
  $("note").textContent = "This list is in this browser only. Log in, and it becomes part of your favorites.";
}

/** The values of a form, without those that are empty. */
const chosen = (form) => Object.fromEntries([...new FormData($(form))].filter(([, value]) => value));

/** Put cards into the list, and leave the focus where it was, or on the first of the new ones. */
function draw(cards, cursor, next, none) {
  const focused = document.activeElement?.closest?.("#list .heart")?.dataset.productId;
  if (cursor === null) $("list").replaceChildren(...cards);
  else $("list").append(...cards);
  if (focused !== undefined) heart(focused)?.focus();
  if (cursor !== null) cards[0]?.querySelector("h2").focus();
  nextCursor = next;
  $("more").hidden = next === null;
  $("note").hidden = true;
  $("empty").hidden = cards.length > 0 || cursor !== null;
  $("empty").textContent = none;
}

function setCount(number) {
  count = number;
  $("count").hidden = number === 0;
  $("count").textContent = number;
}

// ── A card, and its heart ────────────────────────────────────────────────────────────────────────────────────

/** A product or favorite as an element of the list; `marked` is null while we do not know. */
function card(product, marked) {
  const { product_id, title, price, available = true, review, category: of, favorited_at } = product;
  const button = element("button", { type: "button", class: "heart", "data-product-id": product_id });
  button.setAttribute("aria-label", `Favorite: ${title}`);
  button.addEventListener("click", () => toggle(button, title));
  button.disabled = marked === null;
  button.setAttribute("aria-pressed", String(marked === true));
  return element("li", { class: available ? "card" : "card gone" },
    picture(title),
    element("h2", { tabindex: "-1" }, title),
    of && categoryButton(of),
    price === undefined ? null : element("p", { class: "price" }, price),
    available ? change(product) : element("p", { class: "change" }, "Not sold at the moment"),
    review && element("p", { class: "review" }, `★ ${review.rate} from ${review.count} reviews`),
    favorited_at && element("p", { class: "review" }, `Marked on ${new Date(favorited_at).toLocaleDateString("en", DATE)}`),
    button,
  );
}

function categoryButton(name) {
  const button = element("button", { type: "button", class: "link" }, name);
  button.setAttribute("aria-label", `Category ${name}`);
  button.addEventListener("click", () => {
    category = name;
    if (location.hash === "#favorites") location.hash = "#products";
    else show();
  });
  return element("p", { class: "category" }, button);
}

/** How much less or more a favorite costs than when it was marked; null if it is the same, or no favorite. */
function change({ price_change, price_when_favorited }) {
  if (price_change === undefined || Number(price_change) === 0) return null;
  const fell = price_change.startsWith("-");
  const [kind, words] = fell ? ["change down", "less"] : ["change up", "more"];
  const amount = fell ? price_change.slice(1) : price_change;
  return element("p", { class: kind }, `${fell ? "▼" : "▲"} ${amount} ${words} `, element("s", {}, price_when_favorited));
}

const heart = (id) => $("list").querySelector(`.heart[data-product-id="${CSS.escape(id)}"]`);

/** Let the hearts of these products show which of them are marked. */
function paint(ids, marked) {
  for (const id of ids) {
    const button = heart(id);
    if (button === null) continue;
    button.disabled = false;
    button.setAttribute("aria-pressed", String(marked.includes(id)));
  }
}

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
    say(mark ? `${title} is a favorite.` : `${title} is no favorite any more.`);
  } catch (problem) {
    button.setAttribute("aria-pressed", String(!mark));
    report(problem);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

// ── Log in, register, log out ────────────────────────────────────────────────────────────────────────────────

const form = $("account-form");

function openAccount() {
  setMode("log in");
  form.reset();
  $("account").showModal();
  form.elements.email.focus();
}

function setMode(mode) {
  const registers = mode === "register";
  const name = registers ? "Register" : "Log in";
  form.dataset.mode = mode;
  form.querySelector("[data-for=register]").hidden = !registers;
  form.elements.password.autocomplete = registers ? "new-password" : "current-password";
  $("account-title").textContent = $("submit").textContent = name;
  $("mode").textContent = registers ? "I have an account" : "I am new here";
  showFormProblem(null);
}

async function submit(event) {
  event.preventDefault();
  const { name, email, password } = Object.fromEntries(new FormData(form));
  $("submit").disabled = true;
  showFormProblem(null);
  try {
    if (form.dataset.mode === "register") {
      await api.register({ name, email, password });
      setMode("log in"); // if what follows fails, registering again would find the e-mail taken
    }
    await api.logIn(email, password);
  } catch (problem) {
    showFormProblem(problem);
    return;
  } finally {
    $("submit").disabled = false;
  }
  $("account").close();
  clearProblem();
  say(`Welcome, ${api.session().name}.`);
  await mergeGuestsList();
  await show();
}

/** Add the guest's list to the client's favorites, and say what came of it. */
async function mergeGuestsList() {
  try {
    const answer = await guest.merge();
    if (answer === null) return;
    const { added, already, refused } = answer;
    const told = [[added, "added to your favorites"], [already, "a favorite already"], [refused, "not accepted"]];
    say(`From this browser's list: ${told.filter(([ids]) => ids.length)
      .map(([ids, words]) => `${ids.length} ${words}`).join(", ")}.`);
  } catch (problem) {
    report(problem); // the list is still there: the next time that the page opens, it is tried again
  }
}

/** Show what is wrong with the form beside the fields, or above them; null takes that away. */
function showFormProblem(problem) {
  for (const told of form.querySelectorAll(".wrong")) told.remove();
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  $("account-problem").textContent = "";
  if (problem === null) return;
  const general = [];
  for (const { location: where, message } of problem.errors ?? []) {
    const field = form.elements[where.replace("body.", "")];
    if (!field || field.closest("[hidden]")) {
      general.push(`${where}: ${message}`);
      continue;
    }
    field.setAttribute("aria-invalid", "true");
    field.parentElement.append(element("span", { class: "wrong" }, message));
  }
  const first = form.querySelector("[aria-invalid]");
  if (first === null || general.length) $("account-problem").textContent = sentence(problem, general);
  (first ?? form.elements.password).focus();
}

async function logOut() {
  try {
    await api.logOut();
    say("You are logged out.");
  } catch (problem) {
    report(problem);
  }
  await show();
}

// ── What is said ─────────────────────────────────────────────────────────────────────────────────────────────

function say(text) {
  clearTimeout(silence);
  $("said").textContent = text;
  silence = setTimeout(() => ($("said").textContent = ""), SAID);
}

/** Show a problem, unless it is of a page that is no longer wanted. */
function report(problem, signal) {
  if (signal?.aborted) return;
  const isOurMistake = !(problem instanceof api.Problem);
  if (isOurMistake) console.error(problem);
  const text = ENDED.includes(problem.type)
    ? "Your session has ended. Please log in again."
    : isOurMistake ? "This page has a fault; the browser's console tells it." : sentence(problem, []);
  const close = element("button", { type: "button" }, "Close");
  close.addEventListener("click", clearProblem);
  say("");
  $("problem").replaceChildren(element("span", {}, text), close);
  if (ENDED.includes(problem.type) && !$("log-out").hidden) show(); // as a guest
}

const clearProblem = () => $("problem").replaceChildren();

/** A problem for people. The number lets whoever runs the service find the request. */
function sentence({ title, detail, errors = [], requestId }, more) {
  const told = more.length ? more : errors.map(({ location: where, message }) => `${where}: ${message}`);
  const number = requestId ? ` (request ${requestId})` : "";
  return `${title}. ${[detail, ...told].join(" ")}${number}`;
}

/** An element with attributes and children; texts become text nodes, and null or undefined is left out. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children.filter((child) => child != null));
  return made;
}

// ── What people do ───────────────────────────────────────────────────────────────────────────────────────────

addEventListener("hashchange", show);
addEventListener("storage", ({ key, oldValue, newValue }) => {
  // Another window logged in or out, or changed the guest's list. A new token of the same session changes nothing.
  const inOrOut = key === "shop.session" && (oldValue === null || newValue === null);
  if (inOrOut || key === "shop.guest") show();
});
addEventListener("focus", () => {
  // Prices may have changed meanwhile; most of the time the answer is a 304. What was unmarked here leaves.
  const onFirstPage = $("list").childElementCount <= PAGE;
  if (location.hash === "#favorites" && onFirstPage && !$("account").open) show();
});
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address tells which page is shown
  $("list").focus();
});
$("products-form").addEventListener("change", show);
$("favorites-form").addEventListener("change", show);
$("category").addEventListener("click", () => {
  category = "";
  show();
  $("title").focus();
});
$("more").addEventListener("click", () => load(nextCursor));
$("log-in").addEventListener("click", openAccount);
$("log-out").addEventListener("click", logOut);
$("cancel").addEventListener("click", () => $("account").close());
$("mode").addEventListener("click", () => setMode(form.dataset.mode === "register" ? "log in" : "register"));
form.addEventListener("submit", submit);

await show();
if (api.session() !== null && guest.ids().length) {
  await mergeGuestsList(); // what the log-in could not take along
  await show();
}
