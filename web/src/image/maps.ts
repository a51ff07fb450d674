/** A unit's map, drawn on the image that it is of. */
import type { Maps } from "../data/model";

/** How bright the image stays where the unit is silent, out of 255. */
const DIM = 66;
const GREY = 128;

/** The image is lit where the unit is active; `plain` shows the map alone. */
export function drawMap(canvas: HTMLCanvasElement, photo: HTMLImageElement, sheet: HTMLImageElement, maps: Maps, index: number, plain: boolean): void {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return;
  const { width, height } = canvas;
  const [tall, wide] = maps.tile;
  const [x, y] = [(index % maps.columns) * wide, Math.floor(index / maps.columns) * tall];
  context.globalCompositeOperation = "source-over";
  context.imageSmoothingEnabled = !plain;
  context.imageSmoothingQuality = "high";
  context.drawImage(cut(sheet, x, y, wide, tall), 0, 0, width, height);
  if (plain) return;
  if (maps.signed) above(context, width, height);
  context.globalCompositeOperation = "lighten";
  context.fillStyle = `rgb(${DIM} ${DIM} ${DIM})`;
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "multiply";
  context.drawImage(photo, 0, 0, width, height);
}

/** One tile by itself, so that enlarging it takes in nothing of its neighbours. */
function cut(sheet: HTMLImageElement, x: number, y: number, wide: number, tall: number): HTMLCanvasElement {
  const tile = document.createElement("canvas");
  [tile.width, tile.height] = [wide, tall];
  tile.getContext("2d")?.drawImage(sheet, x, y, wide, tall, 0, 0, wide, tall);
  return tile;
}

/** Of a map in which grey is zero, what is above it. */
function above(context: CanvasRenderingContext2D, width: number, height: number): void {
  const pixels = context.getImageData(0, 0, width, height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const value = Math.max(0, (pixels.data[at] ?? 0) - GREY) * 2;
    pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = value;
  }
  context.putImageData(pixels, 0, 0);
}

export function loaded(url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = url;
  return image.decode().then(() => image);
}
