/** What units know of a text: how well they tell tracks, beside the same network untrained. */
import type { KnownTrack, LayerTrack, Measure } from "../types/documents";

interface Measured {
  measure: Measure;
}

/** How well a score tells a track, whichever way round. */
export function strength(track: Measured, score: number | null): number | null {
  if (score === null) return null;
  return track.measure === "auc" ? Math.max(score, 1 - score) : Math.abs(score);
}

/** A score this far from knowing nothing goes a way. */
const CLEARLY = 0.05;

/** Where the unit is clearly the other way round: lower where the track holds, or falling as it rises. */
export function way(track: Measured, score: number | null): string {
  if (score === null) return "";
  if (track.measure === "auc") return score < 0.5 - CLEARLY ? "lower where it holds" : "";
  return score < -CLEARLY ? "falls with it" : "";
}

/** What a track's score is called. */
export function measure(track: Measured): string {
  return track.measure === "auc" ? "AUC" : "|r|";
}

/** How far along a bar a strength is: nothing known is 0, everything 1. */
export function share(track: Measured, value: number | null): number {
  if (value === null) return 0;
  return track.measure === "auc" ? Math.max(0, 2 * value - 1) : value;
}

/** By how much a unit is better than the best one untrained. */
export function gain(known: KnownTrack): number {
  return known.strength === null ? -Infinity : known.strength - (known.untrained ?? 0);
}

/** Tracks that a unit tells better than an untrained one by most first. */
export function ordered(knows: readonly KnownTrack[]): KnownTrack[] {
  return [...knows].sort((left, right) => gain(right) - gain(left));
}

/** The units of a layer that tell a track best, best first. */
export function bestUnits(track: LayerTrack, most: number): { channel: number; strength: number; way: string }[] {
  return track.score
    .map((score, channel) => ({ channel, strength: strength(track, score) ?? -Infinity, way: way(track, score) }))
    .filter((one) => one.strength > -Infinity)
    .sort((left, right) => right.strength - left.strength || left.channel - right.channel)
    .slice(0, most);
}
