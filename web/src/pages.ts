/** The pages of the app: another page is one more entry. */
import type { Component } from "svelte";
import type { Study } from "./types/documents";
import { stepDrawingOf } from "./examples/kinds";
import ClassPage from "./pages/ClassPage.svelte";
import ImagePage from "./pages/ImagePage.svelte";
import LayerPage from "./pages/LayerPage.svelte";
import LivePage from "./pages/LivePage.svelte";
import NetworkPage from "./pages/NetworkPage.svelte";
import UnitPage from "./pages/UnitPage.svelte";
import type { Route } from "./router.svelte";

export interface Page {
  component: Component<{ study: Study; route: Route }>;
  /** It needs all of the width, so it has no list of layers at its side. */
  wide?: true;
  /** What it is called in the bar at the top; pages without are reached from others. */
  menu?: string;
  /** Whether its examples have to be pictures. */
  pictures?: true;
  /** While this is the same the page changes with its address; otherwise it begins anew. */
  same?: (route: Route) => string;
}

export const PAGES = {
  network: { component: NetworkPage, wide: true },
  layer: { component: LayerPage, same: (route) => `${route.study}/${route.name}` },
  unit: { component: UnitPage },
  class: { component: ClassPage },
  image: { component: ImagePage, wide: true, menu: "Image", pictures: true, same: (route) => route.study },
  live: { component: LivePage, wide: true, menu: "Live", pictures: true, same: (route) => route.study },
} satisfies Record<string, Page>;

/** Beside the pages of a study there is the list of all studies. */
export type PageName = keyof typeof PAGES | "home";

/** The page of an address within a study; null where the address is wrong. */
export function pageOf({ page }: Route): Page | null {
  return Object.hasOwn(PAGES, page) ? PAGES[page as keyof typeof PAGES] : null;
}

/** The pages that the bar at the top leads to. */
export function menuOf(study: Study): { page: PageName; words: string }[] {
  const pictures = stepDrawingOf(study) === null;
  return Object.entries<Page>(PAGES).flatMap(([page, { menu, pictures: needed }]) => (menu && (pictures || !needed) ? [{ page: page as PageName, words: menu }] : []));
}
