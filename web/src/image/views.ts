/** What is shown of the units that stand out in an image; the first has no place in the address. */
export const VIEWS = [
  ["lit", "lit in the image"],
  ["map", "map"],
  ["usual", "what it usually sees"],
] as const;

export type View = (typeof VIEWS)[number][0];

export function viewOf(given: string | undefined): View {
  return VIEWS.find(([key]) => key === given)?.[0] ?? VIEWS[0][0];
}

export function after(view: View): View {
  const at = VIEWS.findIndex(([key]) => key === view);
  return VIEWS[(at + 1) % VIEWS.length]?.[0] ?? view;
}
