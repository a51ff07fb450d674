/** The address bar holds the whole state of a view: `#/slug/page/name?view=…`. */
import type { PageName } from "./pages";

export interface Route {
  /** A page's name, unless the address is wrong. */
  page: string;
  study: string;
  /** A layer's name, a unit's address, a class's index, an image's name. */
  name: string;
  query: Record<string, string>;
}

export function parse(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?");
  const query = Object.fromEntries(new URLSearchParams(search));
  const [study = "", page = "network", ...rest] = path.split("/").map(decode);
  return study === "" ? { page: "home", study, name: "", query } : { page: page === "" ? "network" : page, study, name: rest.join("/"), query };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function link(page: PageName, study = "", name = "", query: Record<string, string | undefined> = {}): string {
  const parts = page === "home" ? [] : page === "network" ? [study] : name === "" ? [study, page] : [study, page, name];
  const given = Object.entries(query).filter((one): one is [string, string] => one[1] !== undefined && one[1] !== "");
  const search = new URLSearchParams(given).toString();
  return `#/${parts.map((part) => encodeURIComponent(part).replaceAll("%3A", ":")).join("/")}${search ? `?${search}` : ""}`;
}

class Router {
  route = $state<Route>(parse(location.hash));
  #parsed = location.hash;

  constructor() {
    addEventListener("hashchange", () => this.#follow());
  }

  #follow(): void {
    if (location.hash === this.#parsed) return;
    this.#parsed = location.hash;
    this.route = parse(location.hash);
  }

  /** Another view of the same page: the back button leads to the page before, not through every choice. */
  choose(query: Record<string, string | undefined>): void {
    const { page, study, name } = this.route;
    const all = { ...this.route.query, ...query };
    history.replaceState(null, "", link(page as PageName, study, name, all));
    this.#follow();
  }

  /** At once, not when the browser tells of it: a second key pressed before that steps from here. */
  go(to: string): void {
    location.hash = to;
    this.#follow();
  }
}

export const router = new Router();
