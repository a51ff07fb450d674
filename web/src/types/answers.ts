/** Made by web/document_types.py from src/torchlurk/server/live/contents.py: change that, then run it. */
import type { Box, Value } from "./documents";

/**
 * What an output stands for: one of several classes, whose probabilities add up to 1; a label that holds or not whatever the
 * others do; a number that is no probability.
 */
export type OutputKind = "class" | "label" | "number";

export type Layout = "spatial" | "vector" | "tokens" | "sequence";

interface OfClass {
  class: number | null;
}

/** An example whose picture the study holds; `class` is an index. */
export interface GalleryExample extends OfClass {
  example: number;
  path: string;
  picture: string;
}

/** What can be asked about, and examples to begin with. */
export interface About {
  model: string;
  input: number[];
  methods: string[];
  /** Numbers of examples whose pictures the study holds. */
  examples: number[];
  gallery: GalleryExample[];
}

/** An output of the network. */
export interface Prediction {
  index: number;
  label: string;
  output: number;
  /** Null for a number. */
  probability: Value;
  kind: OutputKind;
}

/** An output, and the unit of the last layer that is this output. */
export interface NamedPrediction extends Prediction {
  unit: string | null;
}

/** A unit in the image, where it is strongest. */
export interface Response {
  unit: string;
  activation: number;
  position: number[];
  box: Box | null;
  percentile: Value;
  standing: Value;
}

/** The units of a layer that stand out. */
export interface Strongest {
  layer: string;
  strongest: Response[];
}

/** An image that was opened. */
export interface Overview {
  /** Its name. */
  image: string;
  /** Width and height. */
  size: [number, number];
  /** How many images it is the mean of. */
  images: number;
  predictions: NamedPrediction[];
  layers: Strongest[];
}

/** A way down from a unit: the root first. */
export interface Branch {
  units: string[];
  position: number[] | null;
}

/** What one unit gives to another. */
export interface Child {
  unit: string;
  contribution: number;
  share: number;
  bypasses: boolean;
  activation: number;
  position: number[] | null;
  box: Box | null;
}

/** All that one layer gives to a unit. */
export interface Feed {
  layer: string;
  units: number;
  contribution: number;
  share: number;
  bypasses: boolean;
}

/** What a node is made of. */
export interface Makeup extends Branch {
  value: number;
  rest: number;
  children: Child[];
  feeds: Feed[];
}

/** What of the image reaches the root through a branch. */
export interface PathPicture extends Branch {
  box: Box;
  /** The square that the picture is of. */
  focus: Box;
  /** A `data:` address. */
  picture: string;
}

/** A unit that another one feeds. */
export interface Use {
  unit: string;
  contribution: number;
  activation: number;
  position: number[];
  box: Box | null;
}

/** What the network says before and after. */
export interface Predictions {
  before: Prediction[];
  after: Prediction[];
}

/** What changes did, to the units that were watched and to the predictions. */
export interface Effect {
  before: number[];
  after: number[];
  predictions: Predictions;
}

/** The answer to `makeups`. */
export interface Makeups {
  makeups: Makeup[];
}

/** The answer to `pictures`. */
export interface PathPictures {
  method: string;
  pictures: PathPicture[];
}

/** The answer to `uses`, by layer. */
export interface Uses {
  unit: string;
  uses: Record<string, Use[]>;
}

/** The answer to `effects`, by case. */
export interface Effects {
  effects: Effect[];
}

/** A layer that a stream can show. */
export interface StreamLayer {
  name: string;
  channels: number;
  shape: number[];
  layout: Layout;
}

/** What a stream begins with. */
export interface Greeting {
  model: string;
  layers: StreamLayer[];
  methods: string[];
  /** Numbers of examples whose pictures the study holds. */
  examples: number[];
}

/** How the maps of a layer lie in their sheet. */
export interface SheetPart {
  columns: number;
  /** Height and width. */
  tile: [number, number];
  units: number;
  signed: boolean;
  reach: Value;
  /** Of each unit the largest magnitude. */
  peaks: Value[];
}

/** The map of one unit. */
export interface MapPart {
  unit: string;
  /** Height and width. */
  size: [number, number];
  signed: boolean;
  reach: Value;
}

/** The back-projection of one unit. */
export interface ProjectionPart {
  unit: string;
  method: string;
  position: number[] | null;
  box: Box | null;
  activation: Value;
}

/** A picture behind a header. */
export interface Part {
  name: "sheet" | "map" | "projection" | "input";
  type: string;
  bytes: number;
}

/** How long a frame took. */
export interface Seconds {
  decode: number;
  model: number;
  draw: number;
}

/** What is said of a frame, before its pictures. */
export interface Header {
  frame: number;
  dropped: number;
  seconds: Seconds;
  predictions: Prediction[];
  parts: Part[];
  layer?: string;
  sheet?: SheetPart;
  map?: MapPart;
  projection?: ProjectionPart;
  example?: number;
}
