// A drawing in place of a photograph: the sample catalog's addresses of images lead nowhere.

const SVG = "http://www.w3.org/2000/svg"; // a name, which nobody asks

/** A drawing that is always the same for the same title. It says nothing that the title does not. */
export function picture(title) {
  const random = numbers(title);
  const hue = Math.floor(random() * 360);
  const drawing = shape("svg", { viewBox: "0 0 160 107", class: "picture", "aria-hidden": "true" });
  drawing.append(shape("rect", { width: 160, height: 107, fill: `hsl(${hue} 45% 88%)` }));
  for (let i = 0; i < 4; i++) {
    const fill = `hsl(${(hue + 25 * i) % 360} ${50 + 10 * random()}% ${58 + 5 * i}%)`;
    const [x, y, size] = [160 * random(), 20 + 85 * random(), 22 + 34 * random()];
    const turned = `rotate(${Math.floor(90 * random())} ${x} ${y})`;
    drawing.append(
      random() < 0.5
        ? shape("circle", { cx: x, cy: y, r: size, fill, opacity: 0.75 })
        : shape("rect", {
            x: x - size, y: y - size / 2, width: 2 * size, height: size, rx: size / 4, transform: turned, fill, opacity: 0.75,
          }),
    );
  }
  const letters = shape("text", { x: 80, y: 68, fill: `hsl(${hue} 60% 20%)` });
  letters.textContent = (title.match(/\p{L}+/gu) ?? ["?"]).slice(0, 2).map(([first]) => first).join("").toUpperCase();
  drawing.append(letters);
  return drawing;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

/** Numbers from 0 to 1 that look like chance, and are the same for the same text. */
function numbers(text) {
  let state = [...text].reduce((sum, letter) => Math.imul(sum ^ letter.codePointAt(0), 0x01000193), 0x811c9dc5);
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}
