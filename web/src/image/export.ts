/** A drawing of the page as a file that needs nothing else: pictures inside, colours fixed. */

/** The text of an SVG file. */
export async function svgText(drawn: SVGSVGElement): Promise<string> {
  const copy = drawn.cloneNode(true) as SVGSVGElement;
  const box = drawn.viewBox.baseVal;
  copy.setAttribute("width", `${box.width}`);
  copy.setAttribute("height", `${box.height}`);
  for (const one of copy.querySelectorAll(".button, .more")) one.remove();
  await Promise.all([...copy.querySelectorAll("image")].map(embed));
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of [["width", "100%"], ["height", "100%"], ["fill", "var(--ground)"]] as const) ground.setAttribute(name, value);
  copy.prepend(ground);
  for (const one of [copy, ...copy.querySelectorAll("*")]) for (const name of ["class", "tabindex", "data-path"]) one.removeAttribute(name);
  const colours = getComputedStyle(document.documentElement);
  return new XMLSerializer().serializeToString(copy).replaceAll(/var\((--[\w-]+)\)/g, (_, name: string) => colours.getPropertyValue(name).trim().replaceAll('"', "'"));
}

async function embed(image: SVGImageElement): Promise<void> {
  const address = image.getAttribute("href") ?? "";
  if (address.startsWith("data:")) return;
  image.setAttribute("href", await dataAddress(await (await fetch(address)).blob()));
}

function dataAddress(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error("cannot be read"));
    reader.readAsDataURL(blob);
  });
}

/** Pixels to each of the drawing. */
const FINE = 2;
/** Browsers draw no canvas with a longer side. */
const LONGEST = 16_000;

/** The same as a PNG. */
export async function pngBlob(drawn: SVGSVGElement): Promise<Blob> {
  const address = URL.createObjectURL(new Blob([await svgText(drawn)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const { width, height } = drawn.viewBox.baseVal;
    const scale = Math.min(FINE, LONGEST / Math.max(width, height));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))), "image/png"));
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** Hands a file to the browser's downloads. */
export function save(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  const anchor = document.createElement("a");
  [anchor.href, anchor.download] = [address, name];
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
