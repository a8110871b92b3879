// What is shown stands in the address: it survives a reload, can be sent to somebody, and "back" works.
//
//     #products?sort=price&category=kitchen&q=mat&pages=2     #favorites?price_dropped=true     #product/7
//     #shared/kJ3vQy0b1nZ8xT5rWm2LhA

const KNOWN = ["sort", "category", "q", "price_dropped", "pages"];

/** What the address asks for: `{view, id?, sort?, category?, q?, price_dropped?, pages}`. */
export function read() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [name, id] = path.split("/");
  const given = new URLSearchParams(query);
  const chosen = Object.fromEntries(KNOWN.filter((key) => given.get(key)).map((key) => [key, given.get(key)]));
  const pages = Math.max(1, Number.parseInt(chosen.pages ?? "1", 10) || 1);
  if (name === "product" && id) return { view: "product", id: decode(id), pages: 1 };
  if (name === "shared" && id) return { view: "shared", id: decode(id), pages };
  return { ...chosen, pages, view: name === "favorites" ? "favorites" : "products" };
}

/** The address of a view, as the `href` of a link. */
export function write({ view, id, ...chosen }) {
  const path = id === undefined ? view : `${view}/${encodeURIComponent(id)}`;
  const kept = Object.entries(chosen).filter(([key, value]) => value && !(key === "pages" && value === 1));
  return kept.length ? `#${path}?${new URLSearchParams(kept)}` : `#${path}`;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody typed it
  }
}
