// Elements of the page. Text of the catalog and of people goes in as text nodes only, never as HTML.

/** The element with that id. */
export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; texts become text nodes, and null or undefined is left out. */
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children.filter((child) => child != null));
  return made;
}
