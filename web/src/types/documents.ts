/** Made by web/document_types.py from src/torchlurk/resources/contents.py and src/torchlurk/resources/unit_contents.py: change that, then run it. */

export type KindName = "pictures" | "text" | "series";

export type Layout = "spatial" | "vector" | "tokens" | "sequence";

/** How a unit is measured against a track: by the area under the ROC curve where it has two values, by Pearson's r otherwise. */
export type Measure = "auc" | "r";

/** Null where it is undefined, as NaN is in a study. */
export type Value = number | null;

/** One number a channel, or a step. */
export type Column = Value[];

/** Left, top, right and bottom in pixels of the network's input, half-open. */
export type Box = [number, number, number, number];

/** A half-open run of steps. */
export type Span = [number, number];

/** What stands before a token, the token, and what stands after it. */
export type Excerpt = [string, string, string];

export interface OfClass {
  class: string | null;
}

export interface NamedClass {
  class: string;
}

/** How many a stage has made something of, and how many there are; units that are dead are not counted. */
export interface Covers {
  layers: [number, number];
  units: [number, number];
}

/** How far a stage has come; a study that only lists its stages leaves the options out. */
export interface Stage {
  stage: string;
  started: string;
  finished: string | null;
  done: number;
  total: number;
  seed: number;
  version: string;
  covers: Covers;
  options?: Record<string, unknown>;
}

/** What is told of a stage while it runs: the event `progress`. */
export interface Progress {
  study: string;
  stage: string;
  done: number;
  total: number;
  finished: string | null;
  /** Items a second. */
  rate?: Value;
  /** Seconds. */
  left?: Value;
  /** Whether nobody is at it: the same command continues it. */
  stopped?: boolean;
}

/** Which layers of a study have other results now, null: any may. The event `changed`. */
export interface Changed {
  study: string;
  layers: number[] | null;
}

/** A study in the list of all. */
export interface Card {
  /** Its name in addresses. */
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
  /** Paths of pictures. */
  cover: string[];
  /** Why it cannot be read any more. */
  trouble?: string;
}

/** `studies.json`. */
export interface Studies {
  studies: Card[];
}

/** A class of the data set: `name` as the data calls it, `label` as people do. */
export interface ClassInfo {
  index: number;
  name: string;
  label: string;
  examples: number;
}

/** A layer, as far as all pages need it. */
export interface LayerInfo {
  /** Its number in the order of execution. */
  id: number;
  name: string;
  type: string;
  layout: Layout;
  channels: number;
  shape: number[];
  parameters: number;
  receptive_field: [number, number] | null;
  stride: [number, number] | null;
  nonlinearity: string | null;
  read_after: string[];
  /** How many were scanned. */
  units: number;
  dead: number;
  /** The node of the graph whose output its units are. */
  node: number | null;
  /** Whether its weights can be shown as pictures. */
  kernels: boolean;
  /** While the scan runs: of how many examples the results so far are. */
  provisional: number | null;
}

/** id, kind, name, module, type, shape */
export type GraphNode = [number, "input" | "module" | "operation" | "output", string, string, string, number[]];

/** What feeds what. */
export interface Graph {
  nodes: GraphNode[];
  edges: [number, number][];
}

/** How examples were given to the network; null or empty where that says nothing. */
export interface Inputs {
  axes: string | null;
  window: number | null;
  burn_in: number | null;
  channels: string[];
  vocabulary_size: number | null;
  /** How many steps of an example have to count for it to be ranked by mean, where not any number will do. */
  least_for_means?: number;
  /** The name of a kind of input that a program has added. */
  called?: string;
  /** What of a text is one example where that is no file: "line" or "row". */
  example?: string;
}

/** How pictures were prepared. */
export interface Preprocessing {
  resize: number[] | null;
  crop: number[] | null;
  interpolation: string;
  mean: number[];
  std: number[];
}

/** The files that were passed over, the first of them with the reason. */
export interface Skips {
  count: number;
  first: [string, string][];
}

/** What people noted of a unit that stands beside its address. */
export interface Mark {
  name: string;
  starred: boolean;
}

/** What people noted of a unit. */
export interface Remark extends Mark {
  text: string;
  written: string;
}

/** `study.json`: what all pages of a study need. */
export interface Study {
  /** Its name in addresses. */
  slug: string;
  name: string;
  model: string;
  data: string;
  /** The shape of the network's input, without the batch. */
  input: number[];
  kind: KindName;
  inputs: Inputs;
  preprocessing: Preprocessing;
  version: string;
  examples: number;
  classes: ClassInfo[];
  /** For each output of the network its class; null: as the classes are listed. */
  output_classes: (number | null)[] | null;
  layers: LayerInfo[];
  graph: Graph;
  stages: Stage[];
  methods: string[];
  presets: string[];
  /** Kind and text. */
  notes: [string, string][];
  /** What people noted, by a unit's address. */
  remarks: Record<string, Mark>;
  skips: Skips;
}

/** Where the tiles of a layer are: channel c is tile c % per_sheet of sheet c // per_sheet, row by row. */
export interface Sheets {
  /** Pixels a side. */
  tile: number;
  columns: number;
  per_sheet: number;
  sheets: string[];
  /** Channels without a tile. */
  missing: number[];
}

/** How a method did when the weights below a layer were made random. */
export interface Check {
  similarity: Value;
  marked: boolean;
  /** The similarity above which a method is marked. */
  limit: number;
}

/** The strongest example of each unit of a layer. */
export interface Best {
  example: number[];
  score: Column;
  box: Box[] | null;
  /** Of texts and series: where each unit is strongest, -1 where its layer has no steps. */
  step?: number[];
  /** Of texts and series: what that step can have seen. */
  reach?: Span[] | null;
  /** Of texts: null where there is no step. */
  texts?: (Excerpt | null)[];
}

/** The syntheses of a layer by one preset, a value a channel. */
export interface LayerSyntheses {
  activation: Column;
  ratio: Column;
  marked: (string | null)[];
}

/** A column for each statistic of a layer's units; some layers and studies have further ones, by name. */
export interface Statistics {
  mean: Column;
  std: Column;
  max: Column;
  min: Column;
  fraction_active: Column;
  selectivity: Column;
  [more: string]: Column;
}

/** What the units of a layer are called that are the network's outputs; an empty name is not known. */
export interface Outputs {
  of: "classes" | "tokens";
  names: string[];
}

/** What a unit is called that is an output of the network. */
export interface Output {
  of: "classes" | "tokens";
  name: string;
}

/** A label at each step of a text, and how units are measured against it. */
export interface Track {
  track: string;
  /** What it is a label of. */
  words: string;
  measure: Measure;
  /** Whether the last three tokens give it away, so that it was measured at all steps. */
  told: boolean;
  /** At how many steps it was measured. */
  steps: number;
  /** How well the best unit of the layer tells it in the same network untrained. */
  untrained: Value;
}

/** How well each unit of a layer tells a track. */
export interface LayerTrack extends Track {
  score: Column;
}

/** How well one unit tells a track; `strength` is the score whichever way round. */
export interface KnownTrack extends Track {
  score: Value;
  strength: Value;
}

/** `layers/{l}.json`: columns with an entry a channel. */
export interface Layer {
  id: number;
  name: string;
  provisional: number | null;
  /** Null where its units are not the network's outputs, or nobody knows what these are called. */
  outputs: Outputs | null;
  statistics: Statistics;
  /** -1 for none, as in `second_class`. */
  best_class: number[];
  second_class: number[];
  class_score: Column;
  best: Best;
  effective_field: [number, number] | null;
  checks: Record<string, Check>;
  syntheses: Record<string, LayerSyntheses>;
  /** By channel. */
  remarks: Record<string, Mark>;
  sheets: Record<string, Sheets>;
  /** Of texts: how well the units tell each track. */
  knows?: LayerTrack[];
}

/** An example of a unit, with its picture where it has one. */
export interface Shown extends OfClass {
  example: number;
  path: string;
  score: Value;
  picture: string | null;
}

/** An example among the strongest of a unit. */
export interface Exemplar extends Shown {
  rank?: number;
  /** In place of a rank, the quantile. */
  level?: number;
  position?: number[] | null;
  box?: Box | null;
  recall?: Value;
  /** Of a text or series: the steps that the position can have seen. */
  reach?: Span;
  /** Of a text: the token at the position. */
  token?: string;
  /** Of a text: what stands before and after the token. */
  context?: [string, string];
  /** Of a text or series, by number of steps: the share of the activation that those less than so many away excite alone. */
  last_steps?: Record<string, number>;
  /** Which of the layer's own steps it is, where these are not the example's. */
  own_step?: number;
  /** There where the activation is so close to zero that shares of it say nothing. */
  faint?: boolean;
}

/** By ranking, the strongest first; quantiles from weak to strong. */
export interface Exemplars {
  max: Exemplar[];
  mean: Exemplar[];
  quantile: Exemplar[];
}

/** A picture of what excited a unit in one of its exemplars. */
export interface Attribution {
  exemplars: "max" | "mean";
  rank: number;
  method: string;
  box: Box;
  picture: string | null;
  scale: Value;
  kept: Value;
}

/** What excited a unit in one of its exemplars that are texts or series; its numbers are in `UnitAttributions`. */
export interface StepAttribution {
  exemplars: "max" | "mean";
  rank: number;
  method: string;
  kept: Value;
  /** Of lrp and lrp_plus: the share of the activation that arrived at the input. */
  conserved: Value;
}

/** The same with its numbers, by channel (one of a text) and step. */
export interface StepNumbers extends StepAttribution {
  values: Column[];
}

/** `layers/{l}/units/{u}-attributions.json`, of texts and series. */
export interface UnitAttributions {
  layer: string;
  channel: number;
  attributions: StepNumbers[];
}

/** An input that was optimized to excite a unit. */
export interface Synthesis {
  preset: string;
  picture: string | null;
  activation: Value;
  ratio_to_best_exemplar: Value;
  percentile: Value;
  robustness: Value;
  marked: string | null;
  seed: number;
  steps: number;
}

/** The pictures that were made of a unit. */
export interface Images {
  attributions: Attribution[];
  syntheses: Synthesis[];
}

/** A class's mean. */
export interface ClassValue extends NamedClass {
  index: number;
  value: number;
}

/** The highest class means of a unit's maximum and of its mean. */
export interface ClassValues {
  max: ClassValue[];
  mean: ClassValue[];
}

/** Distribution of a unit's maximum over the sample of examples; those at exactly zero are counted apart. */
export interface Histogram {
  edges: number[];
  counts: number[];
  zeros: number;
}

/** A unit of the same layer, and its correlation. */
export interface Alike {
  channel: number;
  value: Value;
}

/** A unit of a layer before or after. */
export interface Neighbour extends Alike {
  layer: number;
  name: string;
}

/** The units of a layer that are most like one of them, by their class means and example by example. */
export interface Similar {
  classes: Alike[];
  coactivation: Alike[];
}

/** A unit in numbers; some have further ones, by name. */
export interface UnitStatistics {
  mean: Value;
  std: Value;
  max: Value;
  min: Value;
  fraction_active: Value;
  selectivity: Value;
  [more: string]: Value;
}

/** A token with its value by a measure. */
export interface Token {
  id: number;
  /** As it is read; `#34` where only its id is known. */
  token: string;
  value: Value;
  /** At how many steps that count it stands. */
  count?: number;
}

/** The tokens at the ends of a measure: highest first, and lowest first. */
export interface TokenRanking {
  /** Of scores of the next token: the unit's value for which they are told. */
  at?: Value;
  highest: Token[];
  lowest: Token[];
}

/** What a unit has to do with tokens; null by a measure that it does not have. */
export interface UnitTokens {
  /** By its mean where a token stands. */
  state: TokenRanking | null;
  /** By how much it changes there in the mean. */
  change: TokenRanking | null;
  /** By how much it raises a token's logit as the next one. */
  next: TokenRanking | null;
}

/** `layers/{l}/units/{c}.json`: everything that the page of a unit shows. */
export interface Unit {
  /** Of its layer. */
  id: number;
  layer: string;
  channel: number;
  layout: Layout;
  shape: number[];
  dead: boolean;
  provisional: number | null;
  output: Output | null;
  statistics: UnitStatistics;
  exemplars: Exemplars;
  classes: ClassValues;
  histogram: Histogram;
  similar: Similar;
  before: Neighbour[];
  after: Neighbour[];
  checks: Record<string, Check>;
  effective_field: [number, number] | null;
  images: Images;
  remark: Remark | null;
  /** What stages that a program has added found of it, by stage. */
  findings?: Record<string, unknown>;
  /** Of texts and series: what excited it in its exemplars. */
  attributions?: StepAttribution[];
  /** Of texts and series, by example: the unit's value at each step. */
  traces?: Record<string, Column>;
  /** Of texts and series: where it is lowest in its exemplars, if it is about as far below zero as above. */
  lowest?: Exemplar[];
  /** Of texts. */
  tokens?: UnitTokens;
  /** Of texts: how well it tells each track. */
  knows?: KnownTrack[];
}

interface Sequence extends OfClass {
  example: number;
  path: string;
  /** The steps that count; those before are burn-in. */
  counted: Span;
}

/** `examples/{e}.json` of a text. */
export interface TextExample extends Sequence {
  kind: "text";
  tokens: string[];
  offsets: number[];
}

/** `examples/{e}.json` of a series. */
export interface SeriesExample extends Sequence {
  kind: "series";
  channels: string[];
  /** By channel, then by step. */
  values: Column[];
}

/** `examples/{e}.json` */
export type Example = TextExample | SeriesExample;

/** An example of a class. */
export interface ClassExample {
  example: number;
  path: string;
  picture: string | null;
}

/** A unit that stands out for a class. */
export interface Contrast {
  channel: number;
  /** The mean of its maximum over the class's examples. */
  value: Value;
  /** How far that lies above the mean of the other classes, in standard deviations over classes. */
  contrast: number;
}

/** The units of a layer that stand out for a class. */
export interface ClassLayer {
  layer: number;
  name: string;
  units: Contrast[];
}

/** `classes/{k}.json`. */
export interface ClassPage {
  index: number;
  name: string;
  label: string;
  /** Its examples. */
  count: number;
  /** Those of which the study holds the picture, text or series. */
  examples: ClassExample[];
  layers: ClassLayer[];
}
