// A product or a favorite as an element of the list, and its heart.

import * as address from "./address.js";
import { $, element } from "./elements.js";
import { picture } from "./picture.js";
import { day, price, texts } from "./texts.js";

/** The element; `marked` is null while we do not know. `onToggle(button, title)` is called by its heart. */
export function card(product, marked, onToggle, { whole = false } = {}) {
  const { product_id, title, available = true, review, category, favorited_at, description } = product;
  const link = whole ? null : element("a", { href: address.write({ view: "product", id: product_id }) }, title);
  return element("li", { class: `card${available ? "" : " gone"}${whole ? " whole" : ""}` },
    picture(title),
    whole ? null : element("h2", { tabindex: "-1" }, link), // the title of the page says it already
    category && element("p", { class: "category" }, categoryLink(category)),
    product.price === undefined ? null : element("p", { class: "price" }, price(product.price, product.currency)),
    available ? change(product) : element("p", { class: "change" }, texts.notSold),
    review?.count ? element("p", { class: "review" }, texts.review(review.rate, review.count)) : null,
    favorited_at && element("p", { class: "review" }, texts.markedOn(day(favorited_at))),
    whole && description ? element("p", { class: "description" }, description) : null,
    heartButton(product_id, title, marked, onToggle),
  );
}

function heartButton(product_id, title, marked, onToggle) {
  const button = element("button", { type: "button", class: "heart", "data-product-id": product_id });
  button.setAttribute("aria-label", texts.favorite(title));
  button.addEventListener("click", () => onToggle(button, title));
  button.disabled = marked === null;
  button.setAttribute("aria-pressed", String(marked === true));
  return button;
}

function categoryLink(category) {
  const link = element("a", { href: address.write({ view: "products", category }) }, category);
  link.setAttribute("aria-label", texts.category(category));
  return link;
}

/** How much less or more a favorite costs than when it was marked; null if it is the same, or no favorite. */
function change({ price_change, price_when_favorited, currency }) {
  if (price_change == null || Number(price_change) === 0) return null;
  const fell = price_change.startsWith("-");
  const amount = price(fell ? price_change.slice(1) : price_change, currency);
  const words = fell ? `▼ ${texts.less(amount)} ` : `▲ ${texts.moreExpensive(amount)} `;
  const before = element("span", { class: "for-readers" }, `${texts.before} `);
  return element("p", { class: fell ? "change down" : "change up" }, words, before,
    element("s", {}, price(price_when_favorited, currency)));
}

/** The heart of a product in the list; null where it is not shown. */
export const heart = (id) => $("list").querySelector(`.heart[data-product-id="${CSS.escape(id)}"]`);

/** Let the hearts of these products show which of them are marked. */
export function paint(ids, marked) {
  for (const id of ids) {
    const button = heart(id);
    if (button === null) continue;
    button.disabled = false;
    button.setAttribute("aria-pressed", String(marked.includes(id)));
  }
}
