/** How the methods did in the randomization check of a layer; nothing where it was not made, or the layer is not scanned. */
import { source } from "./source";
import type { Check, Study } from "../types/documents";

export async function checksOf(study: Study, layer: string): Promise<Readonly<Record<string, Check>>> {
  const info = study.layers.find((one) => one.name === layer);
  if (info === undefined || info.units === 0) return {};
  return (await source.layer(study.slug, info.id).catch(() => null))?.checks ?? {};
}
