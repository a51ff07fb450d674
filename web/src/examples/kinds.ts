/** How the examples of each kind are drawn: another kind is one more entry. */
import type { Component } from "svelte";
import type { ClassPage, Exemplar, KindName, Layer, Study, Unit } from "../types/documents";
import PictureExemplars from "./PictureExemplars.svelte";
import UnitGrid from "./UnitTiles.svelte";
import ClassExamples from "./ClassExamples.svelte";
import Exemplars from "./Exemplars.svelte";
import Legend from "./Legend.svelte";
import PictureExamples from "./PictureExamples.svelte";
import { READABLE } from "./series";
import SeriesFace from "./SeriesFace.svelte";
import SeriesRows from "./SeriesRows.svelte";
import TextFace from "./TextFace.svelte";
import TextRows from "./TextRows.svelte";

interface OfLayer {
  study: Study;
  layer: Layer;
  view: string;
  channels: number[];
  query: Record<string, string | undefined>;
}

interface OfUnit {
  study: Study;
  unit: Unit;
  exemplars: Exemplar[];
  ranking: "max" | "mean";
  view: string;
}

export interface Drawing {
  /** One example, in a sentence. */
  noun: string;
  /** All units of a layer. */
  Units: Component<OfLayer>;
  /** Of one unit, the exemplars of a ranking. */
  Exemplars: Component<OfUnit>;
  /** The examples of a class. */
  Examples: Component<{ study: Study; examples: ClassPage["examples"] }>;
}

/** What kinds whose examples have steps have besides. */
export interface StepDrawing extends Drawing {
  Exemplars: Component<Omit<OfUnit, "ranking"> & { ranking: "max" | "mean" | "quantile" | "lowest" }>;
  /** One unit where there is little room. */
  Face: Component<{ study: Study; layer: Layer; channel: number; small?: boolean }>;
  /** What the colours of a unit's values mean. */
  Legend: Component<{ unit: Unit }>;
  /** What exemplars can show, by key in the address; the first has none there. */
  views(study: Study): [key: string, label: string][];
}

function channelViews({ inputs }: Study): [string, string][] {
  return inputs.channels.length > READABLE ? [["near", `${READABLE} channels`], ["all", "all channels"]] : [];
}

const STEPS = { Exemplars, Examples: ClassExamples, Legend };

const KINDS: Record<KindName, Drawing | StepDrawing> = {
  pictures: { noun: "picture", Units: UnitGrid, Exemplars: PictureExemplars, Examples: PictureExamples },
  text: { ...STEPS, noun: "text", Units: TextRows, Face: TextFace, views: () => [["near", "excerpts"], ["all", "whole texts"]] },
  series: { ...STEPS, noun: "series", Units: SeriesRows, Face: SeriesFace, views: channelViews },
};

export function drawingOf(study: Pick<Study, "kind">): Drawing {
  return KINDS[study.kind];
}

/** Of a kind whose examples have steps; null for pictures. */
export function stepDrawingOf(study: Pick<Study, "kind">): StepDrawing | null {
  const found = drawingOf(study);
  return "Face" in found ? (found as StepDrawing) : null;
}

/** What one example of a study is, in a sentence: a picture, a text or one line of it, a series. */
export function exampleNoun(study: Pick<Study, "kind" | "inputs">): string {
  return study.inputs.example ?? drawingOf(study).noun;
}
