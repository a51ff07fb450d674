/** The tree beneath one unit of one image: what of it is shown, as the address says, and how that is changed. */
import { checksOf } from "../data/checks";
import { load, type Loaded } from "../data/loading.svelte";
import type { OpenImage, Watched } from "../data/model";
import type { Overview, PathPicture, Response, Use } from "../types/answers";
import type { Check, Study } from "../types/documents";
import { emptied, usualMethod } from "../drawing/methods";
import { link, router, type Route } from "../router.svelte";
import { Growing } from "./growing.svelte";
import { all, grown, INPUT, type TreeNode } from "./hierarchy";
import { child, closed, counted, Layers, layerOf, MOST_CHILDREN, opened, parent, parseTree, removed, ROOT, treeText, type TreeState } from "./tree_state";

export const USUAL_CHILDREN = 4;
const DEEPEST = 64;
const MOST_OPENED = 24;

/** What a tree is of. Read key by key, so that another choice in the address does not begin all anew. */
export interface Rooted {
  study: Study;
  route: Route;
  image: OpenImage;
  overview: Overview;
  methods: string[];
}

export class Tree {
  readonly layers = $derived.by(() => new Layers(this.given.study.layers));
  readonly root = $derived.by(() => this.given.route.query["unit"] ?? "");
  /** The root in this image. */
  readonly response: Loaded<Response>;
  readonly checks: Loaded<Readonly<Record<string, Check>>>;
  readonly usualOne = $derived.by(() => (this.checks.value === undefined ? null : usualMethod(this.given.methods, this.checks.value)));
  /** Null until it is known which is usual for the root's layer. */
  readonly drawnBy = $derived.by(() => this.given.methods.find((one) => one === this.given.route.query["method"]) ?? this.usualOne);
  readonly method = $derived.by(() => this.drawnBy ?? this.given.methods[0] ?? "");
  /** How many children a node shows where nothing else was chosen. */
  readonly usual = $derived.by(() => Math.min(MOST_CHILDREN, Math.max(1, Number(this.given.route.query["children"] ?? USUAL_CHILDREN) || USUAL_CHILDREN)));
  readonly state = $derived.by(() => parseTree(this.given.route.query["tree"]));
  /** Whether it is the mean over several images. */
  readonly several = $derived.by(() => (this.given.overview.images ?? 1) > 1);
  readonly at = $derived.by(() => {
    const given = this.given.route.query["at"];
    if (given !== undefined) return given === "" ? [] : given.split(",").map(Number);
    return this.response.value?.position ?? null;
  });
  private readonly place = $derived(this.at?.join(",") ?? null);
  readonly growing = $derived.by(() => {
    if (this.place === null) return null;
    const at = this.place === "" ? [] : this.place.split(",").map(Number);
    return new Growing(this.given.image, this.root, this.several ? null : at, this.layers);
  });
  readonly pictures = $derived<ReadonlyMap<string, PathPicture>>(this.growing?.pictures.get(this.method) ?? new Map());
  readonly node = $derived(grown(this.root, this.state, this.usual, this.growing?.makeups ?? new Map(), this.layers));
  readonly nodes = $derived(all(this.node));
  readonly selected = $derived(this.nodes.find((one) => one.path === this.given.route.query["node"])?.path ?? ROOT);
  readonly chosen = $derived(this.nodes.find((one) => one.path === this.selected) ?? this.node);
  readonly activation = $derived.by(() => this.response.value?.activation ?? 0);
  /** By path, how much of its activation the parent of a node keeps without it, where that was measured. */
  kept = $state.raw<ReadonlyMap<string, number>>(new Map());
  trouble = $state.raw<unknown>(null);
  busy = $state(false);

  /** `focus` is told of the node at which a change ends. */
  constructor(
    private readonly given: Rooted,
    private readonly focus: (path: string) => void,
  ) {
    this.response = load(() => given.image.response(this.root), { of: () => this.root, steady: true });
    this.checks = load(() => checksOf(given.study, layerOf(this.root)), { of: () => layerOf(this.root), steady: true });
    $effect(() => {
      this.growing?.want(this.nodes.filter((one) => one.open).map((one) => one.path));
      if (this.drawnBy !== null) this.growing?.wantPictures(this.nodes.map((one) => one.path), this.drawnBy);
    });
    $effect(() => {
      void [this.root, this.place, given.image];
      this.kept = new Map();
    });
  }

  /** Whether only the image feeds a layer. */
  isFirst = (layer: string): boolean => layer === this.given.study.layers[0]?.name;

  siblings(one: TreeNode): TreeNode[] {
    return this.nodes.filter((other) => other.path !== ROOT && parent(other.path) === parent(one.path));
  }

  select(path: string, focus = false): void {
    if (path !== this.selected) router.choose({ node: path || undefined });
    if (focus) this.focus(path);
  }
  toggle(path: string): void {
    const one = this.nodeAt(path);
    if (!one || path === ROOT || this.isFirst(layerOf(one.unit))) return;
    this.go(one.open ? closed(this.state, path) : opened(this.state, [path]), path);
    this.focus(path);
  }
  remove(path: string): void {
    if (path === ROOT) return;
    const left = this.siblings(this.nodeAt(path) ?? this.node).filter((one) => one.path !== path);
    const next = left[0]?.path ?? parent(path);
    this.go(removed(this.state, path), this.selected.startsWith(path) ? next : this.selected);
    this.focus(this.selected);
  }
  more(path: string, by: number): void {
    if (this.nodeAt(path)?.open) this.go(counted(this.state, path, (this.state.counts.get(path) ?? this.usual) + by));
  }
  openAll(): void {
    const leaves = this.nodes.filter((one) => !one.open && !this.isFirst(layerOf(one.unit))).slice(0, MOST_OPENED);
    if (leaves.length > 0) this.go(opened(this.state, leaves.map((one) => one.path)));
  }
  /** Opens the child that adds most, the one that adds most to that, and so on, down to the first layer. */
  async follow(from: string): Promise<void> {
    const asks = this.growing;
    if (!asks || this.busy) return;
    this.busy = true;
    const way: string[] = [];
    let last = from;
    for (let path = from; way.length < DEEPEST; path = last) {
      const found = await asks.makeup(path);
      if (!found || asks !== this.growing) break;
      way.push(path);
      // What lowers the unit above has nothing beneath it: only what raises it leads on.
      const next = found.children.find((one) => one.contribution > 0 && layerOf(one.unit) !== INPUT && !this.state.removed.has(child(path, one.unit, this.layers)));
      if (!next) break;
      last = child(path, next.unit, this.layers);
      if (this.isFirst(layerOf(next.unit))) break;
    }
    this.busy = false;
    this.go(opened(this.state, way), last);
    this.focus(last);
  }

  /** The address of the tree with this state. */
  private address(query: Record<string, string | undefined>): string {
    const { study, route } = this.given;
    return link("image", study.slug, route.name, { ...route.query, ...query });
  }
  /** A step that the back button takes back. */
  private go(state: TreeState, select: string = this.selected): void {
    router.go(this.address({ tree: treeText(state) || undefined, node: select || undefined }));
  }
  /** The address of the tree that begins at a node of this one. */
  rootHere(path: string): string {
    const one = this.nodeAt(path);
    const state: TreeState = {
      open: new Set([...this.state.open].filter((other) => other.startsWith(`${path}-`)).map((other) => other.slice(path.length + 1))),
      removed: new Set(),
      counts: new Map(),
    };
    return this.address({ unit: one?.unit, at: one?.given?.position?.join(","), tree: treeText(state) || undefined, node: undefined });
  }
  /** The address of the tree of a unit that uses the chosen one. */
  rootAt(use: Use): string {
    const short = this.layers.short(this.chosen.unit);
    return this.address({ unit: use.unit, at: use.position.join(","), tree: short, node: short });
  }
  chooseMethod(to: string | undefined): void {
    router.choose({ method: to === this.usualOne ? undefined : to });
  }

  /** Why pictures are empty, or an open node has nothing beneath it. */
  readonly notes = $derived.by(() => [this.silence(), this.end()].filter((one) => one !== null));
  private silence(): string | null {
    const known = this.nodes.flatMap((one) => this.pictures.get(one.path) ?? []);
    return emptied(this.method, known.filter((one) => one.box[2] <= one.box[0]).length, known.length);
  }
  private end(): string | null {
    const { path, makeup, given, unit } = this.chosen;
    if (path === ROOT || makeup === null || makeup.feeds.some((feed) => feed.share !== 0)) return null;
    const why = (given?.contribution ?? 0) < 0 ? "it lowers the unit above" : "nowhere does more of it raise the root";
    return `Nothing lies beneath ${unit}: ${why}, and the tree divides only what raises the root.`;
  }

  /** What becomes of the units above the chosen one when it is deleted, nearest first. */
  readonly watched = $derived.by(() => {
    if (this.chosen.path === ROOT) return [];
    const above = this.nodes.filter((one) => one.path === ROOT || one.path === parent(this.chosen.path)).reverse();
    return above.flatMap((one) => this.placeOf(one));
  });
  private placeOf(one: TreeNode): Watched[] {
    const position = one.path === ROOT ? this.at : one.given?.position;
    return position ? [{ unit: one.unit, position }] : [];
  }
  /** Deletes every child that is shown, each alone, in one request. */
  async checkAll(): Promise<void> {
    const children = this.nodes.filter((one) => one.path !== ROOT).slice(0, DEEPEST);
    const parents = [...new Set(children.map((one) => parent(one.path)))].flatMap((path) => this.nodeAt(path) ?? []);
    const places = parents.flatMap((one) => this.placeOf(one));
    if (children.length === 0 || this.several || places.length !== parents.length) return;
    this.busy = true;
    try {
      const found = await this.given.image.effects(children.map((one) => [{ unit: one.unit, factor: 0 }]), places);
      const measured = new Map<string, number>();
      for (const [index, one] of children.entries()) {
        const row = parents.findIndex((other) => other.path === parent(one.path));
        const [before, after] = [found[index]?.before[row], found[index]?.after[row]];
        if (before !== undefined && after !== undefined && before !== 0) measured.set(one.path, after / before);
      }
      this.kept = measured;
    } catch (error) {
      this.trouble = error;
    } finally {
      this.busy = false;
    }
  }

  private nodeAt(path: string): TreeNode | undefined {
    return this.nodes.find((one) => one.path === path);
  }
}
