/** The documents of a study, as `resources/` writes them. */

export type Box = [number, number, number, number];

/** A half-open run of steps. */
export type Span = [start: number, stop: number];

export type Excerpt = [before: string, token: string, after: string];

export interface Stage {
  stage: string;
  started: string;
  finished: string | null;
  done: number;
  total: number;
  rate?: number | null;
  left?: number | null;
  options?: Record<string, unknown>;
  /** How many layers and units it has made something of, and how many there are; units that are dead are not counted. */
  covers?: { layers: [number, number]; units: [number, number] };
}

export interface Card {
  slug: string;
  name: string;
  model: string;
  data: string;
  layers: number;
  units: number;
  examples: number;
  bytes: number;
  version: string;
  stages: Stage[];
  cover: string[];
}

export interface ClassInfo {
  index: number;
  name: string;
  label: string;
  examples: number;
}

export interface LayerInfo {
  id: number;
  name: string;
  type: string;
  layout: "spatial" | "vector" | "tokens" | "sequence";
  channels: number;
  shape: number[];
  parameters: number;
  receptive_field: [number, number] | null;
  stride: [number, number] | null;
  nonlinearity: string | null;
  read_after: string[];
  units: number;
  dead: number;
  /** Whether its weights can be shown as pictures. */
  kernels?: boolean;
  /** While the scan runs: of how many examples the results so far are. */
  provisional?: number | null;
  /** The node of the graph whose output its units are. */
  node: number | null;
}

/** id, kind, name, module, type, shape */
export type GraphNode = [number, "input" | "module" | "operation" | "output", string, string, string, number[]];

export type KindName = "pictures" | "text" | "series";

export interface Study {
  slug: string;
  name: string;
  model: string;
  data: string;
  input: number[];
  /** What the examples are; a study of pictures made before there were others does not say so. */
  kind?: KindName;
  /** Of a text or series: how it was given to the network. */
  inputs?: { axes: string | null; window: number | null; burn_in: number | null; channels: string[]; vocabulary_size: number | null };
  preprocessing: { resize: number[] | null; crop: number[] | null };
  version: string;
  examples: number;
  classes: ClassInfo[];
  /** For each output of the network its class; null: as the classes are listed. */
  output_classes?: (number | null)[] | null;
  layers: LayerInfo[];
  graph: { nodes: GraphNode[]; edges: [number, number][] };
  stages: Stage[];
  methods: string[];
  presets: string[];
  notes: [string, string][];
  skips: { count: number; first: [string, string][] };
}

export interface Sheets {
  tile: number;
  columns: number;
  per_sheet: number;
  sheets: string[];
  missing: number[];
}

export type Column = (number | null)[];

export interface Check {
  similarity: number | null;
  marked: boolean;
  /** The similarity above which a method is marked. */
  limit: number;
}

export const STATISTICS = ["max", "mean", "std", "min", "fraction_active", "selectivity"] as const;
export type Statistic = (typeof STATISTICS)[number];

export interface Layer {
  id: number;
  name: string;
  statistics: Record<Statistic, Column>;
  best_class: number[];
  second_class: number[];
  class_score: Column;
  best: {
    example: number[];
    score: Column;
    box: Box[] | null;
    /** Of texts and series: where each unit is strongest (-1 where its layer has no steps), and what that step can have seen. */
    step?: number[];
    reach?: Span[] | null;
    /** Of texts: before, token, after; null where there is no step. */
    texts?: (Excerpt | null)[];
  };
  effective_field: [number, number] | null;
  checks: Record<string, Check>;
  syntheses: Record<string, { activation: Column; ratio: Column; marked: (string | null)[] }>;
  sheets: Record<string, Sheets>;
}

export interface Exemplar {
  rank?: number;
  level?: number;
  example: number;
  path: string;
  class: string | null;
  score: number | null;
  position?: number[] | null;
  box?: Box | null;
  recall?: number | null;
  picture: string | null;
  /** Of a text or series: the steps that the position can have seen. */
  reach?: Span | null;
  /** Of a text: the token at the position, and what stands before and after it. */
  token?: string;
  context?: [before: string, after: string];
}

interface Sequence {
  example: number;
  path: string;
  class: string | null;
  /** The steps that count; those before are burn-in. */
  counted: Span;
}

export interface TextExample extends Sequence {
  kind: "text";
  tokens: string[];
  offsets: number[];
}

export interface SeriesExample extends Sequence {
  kind: "series";
  channels: string[];
  /** By channel, then by step. */
  values: Column[];
}

export type Example = TextExample | SeriesExample;

export interface Attribution {
  exemplars: "max" | "mean";
  rank: number;
  method: string;
  box: Box;
  picture: string | null;
  kept: number | null;
}

export interface Synthesis {
  preset: string;
  picture: string | null;
  activation: number | null;
  ratio_to_best_exemplar: number | null;
  percentile: number | null;
  robustness: number | null;
  marked: string | null;
  seed: number;
  steps: number;
}

export interface ClassValue {
  index: number;
  class: string;
  value: number;
}

export interface Alike {
  channel: number;
  value: number;
}

export interface Neighbour extends Alike {
  layer: number;
  name: string;
}

export interface Unit {
  id: number;
  layer: string;
  channel: number;
  layout: string;
  shape: number[];
  dead: boolean;
  statistics: Record<Statistic, number | null>;
  exemplars: { max: Exemplar[]; mean: Exemplar[]; quantile: Exemplar[] };
  classes: { max: ClassValue[]; mean: ClassValue[] };
  histogram: { edges: number[]; counts: number[]; zeros: number };
  similar: { classes: Alike[]; coactivation: Alike[] };
  before: Neighbour[];
  after: Neighbour[];
  checks: Record<string, Check>;
  effective_field: [number, number] | null;
  images: { attributions: Attribution[]; syntheses: Synthesis[] };
  /** Of texts and series, by example: the unit's value at each step. */
  traces?: Record<string, Column>;
}

export interface ClassPage {
  index: number;
  name: string;
  label: string;
  count: number;
  examples: { example: number; path: string; picture: string | null }[];
  layers: { layer: number; name: string; units: { channel: number; value: number; contrast: number }[] }[];
}
