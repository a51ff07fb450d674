/** What a few typed letters may mean in a study. */
import type { Study } from "../types/documents";
import { quantity } from "./numbers";
import { link } from "../router.svelte";

export interface Found {
  kind: "unit" | "layer" | "class";
  label: string;
  note: string;
  to: string;
}

const MOST = 12;

export function search(study: Study, typed: string): Found[] {
  const text = typed.trim().toLowerCase();
  if (text === "") return [];
  const found: Found[] = [];
  const address = /^(.+):(\d+)$/.exec(text);
  const scanned = study.layers.filter((layer) => layer.units > 0);
  for (const layer of scanned) {
    const name = layer.name.toLowerCase();
    if (address && name.includes(address[1] ?? "") && Number(address[2]) < layer.channels) {
      const unit = `${layer.name}:${address[2]}`;
      found.push({ kind: "unit", label: unit, note: layer.type, to: link("unit", study.slug, unit) });
    } else if (name.includes(text)) {
      const note = `${layer.type}, ${quantity(layer.channels, "unit")}`;
      found.push({ kind: "layer", label: layer.name, note, to: link("layer", study.slug, layer.name) });
    }
  }
  for (const [unit, { name }] of Object.entries(study.remarks)) {
    const to = link("unit", study.slug, unit);
    if (name.toLowerCase().includes(text) && !found.some((one) => one.to === to)) found.push({ kind: "unit", label: unit, note: name, to });
  }
  for (const one of study.classes) {
    if (one.label.toLowerCase().includes(text) || one.name.toLowerCase().includes(text)) {
      const note = quantity(one.examples, "example");
      found.push({ kind: "class", label: one.label, note, to: link("class", study.slug, `${one.index}`) });
    }
  }
  return found.sort((a, b) => rank(a, text) - rank(b, text)).slice(0, MOST);
}

function rank(found: Found, text: string): number {
  const label = found.label.toLowerCase();
  return label === text ? 0 : label.startsWith(text) ? 1 : 2;
}
