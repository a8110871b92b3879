// The dialog in which a client shares the favorites by a link, copies a link again, and ends one.

import * as address from "./address.js";
import * as api from "./api.js";
import { $, element } from "./elements.js";
import * as problems from "./problems.js";
import { day, texts } from "./texts.js";

const form = $("sharing-form");

/** Open the dialog, with the links that there are. */
async function open() {
  form.reset();
  showProblem(null);
  $("links").replaceChildren();
  $("sharing").showModal();
  form.elements.title.focus();
  await attempt(showLinks);
}

/** Let the dialog work; `announce(text)` tells of what was done. */
export function start(announce) {
  $("share").addEventListener("click", open);
  $("sharing-close").addEventListener("click", () => $("sharing").close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const title = form.elements.title.value.trim();
    $("create-link").disabled = true;
    const share = await attempt(() => api.createShare(title ? { title } : {}));
    $("create-link").disabled = false;
    if (!share) return;
    form.reset();
    await pass(share, announce); // first: browsers let a page share only right after a click
    await attempt(showLinks);
  });
  $("links").addEventListener("click", async ({ target }) => {
    const { share, action } = target.dataset;
    if (action === "copy") await pass(JSON.parse(share), announce);
    if (action === "end" && (await attempt(() => api.endShare(JSON.parse(share).share_id)))) {
      await attempt(showLinks);
      announce(texts.linkEnded);
      form.elements.title.focus(); // the button that had the focus is gone
    }
  });
}

/** Hand the link to the device's own way of sharing, or copy it where there is none. */
async function pass({ title, token }, announce) {
  const url = new URL(address.write({ view: "shared", id: token }), location.href).href;
  try {
    if (navigator.share) await navigator.share({ title: title ?? texts.sharedList, url });
    else await navigator.clipboard.writeText(url);
    if (!navigator.share) announce(texts.linkCopied);
  } catch (error) {
    if (error.name !== "AbortError") announce(texts.copyByHand); // AbortError: the person closed it
  }
}

async function showLinks() {
  const { items } = await api.shares();
  $("links").replaceChildren(...items.map(link));
}

function link(share) {
  const { title, token, expires_at } = share;
  const name = title ?? texts.sharedList;
  const button = (action, text, label) => {
    const attributes = { type: "button", "data-action": action, "data-share": JSON.stringify(share), "aria-label": label };
    return element("button", attributes, text);
  };
  return element("li", {},
    element("a", { href: address.write({ view: "shared", id: token }), target: "_blank" }, name),
    element("span", { class: "review" }, expires_at ? texts.endsOn(day(expires_at)) : texts.hasNoEnd),
    button("copy", texts.copyLink, texts.copyLinkOf(name)),
    button("end", texts.endLink, texts.endLinkOf(name)),
  );
}

/** What `work` resolves to, true for nothing; undefined, with a message in the dialog, where it failed. */
async function attempt(work) {
  showProblem(null);
  try {
    return (await work()) ?? true;
  } catch (problem) {
    showProblem(problem);
    return undefined;
  }
}

function showProblem(problem) {
  $("sharing-problem").textContent = problem === null ? "" : problems.sentence(problem);
}
