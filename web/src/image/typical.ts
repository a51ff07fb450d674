/** What a unit of a tree usually sees: its strongest examples, small. */
import { source } from "../data/source";
import type { Box, Study } from "../types/documents";
import { exciting } from "../drawing/units";
import { channelOf, layerOf } from "./tree_state";

const MOST = 4;

export interface Typical {
  url: string;
  box: Box;
}

export async function typicalOf(study: Study, unit: string, size: [width: number, height: number]): Promise<Typical[]> {
  const layer = study.layers.find((one) => one.name === layerOf(unit));
  const found = layer ? await source.unit(study.slug, layer.id, channelOf(unit)).catch(() => null) : null;
  const shown = (found === null ? [] : exciting(found, found.exemplars.max)).slice(0, MOST);
  return shown.flatMap((one): Typical[] => {
    const box = one.box && one.box[2] > one.box[0] ? one.box : null;
    return one.picture ? [{ url: source.picture(study.slug, one.picture), box: box ?? [0, 0, ...size] }] : [];
  });
}
