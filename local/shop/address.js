// What is shown stands in the address: it survives a reload, can be sent to somebody, and "back" works.
//
//     #products?sort=price&category=kitchen&q=mat&pages=2     #favorites?price_dropped=true     #product/7

const KNOWN = ["sort", "category", "q", "price_dropped", "pages"];

/** What the address asks for: `{view, id?, sort?, category?, q?, price_dropped?, pages}`. */
export function read() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [name, id] = path.split("/");
  const given = new URLSearchParams(query);
  const chosen = Object.fromEntries(KNOWN.filter((key) => given.get(key)).map((key) => [key, given.get(key)]));
  const pages = Math.max(1, Number.parseInt(chosen.pages ?? "1", 10) || 1);
  if (name === "product" && id) return { view: "product", id: decode(id), pages: 1 };
  return { ...chosen, pages, view: name === "favorites" ? "favorites" : "products" };
}

/** The address of a view, as the `href` of a link. */
export function write({ view, id, ...chosen }) {
  if (view === "product") return `#product/${encodeURIComponent(id)}`;
  const kept = Object.entries(chosen).filter(([key, value]) => value && !(key === "pages" && value === 1));
  return kept.length ? `#${view}?${new URLSearchParams(kept)}` : `#${view}`;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody typed it
  }
}
