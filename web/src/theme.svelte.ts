/** Light or dark: as the machine is set, until one is chosen. */

const KEY = "torchlurk-theme";

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

class Theme {
  dark = $state(false);

  constructor() {
    const wish = matchMedia("(prefers-color-scheme: dark)");
    this.set(stored() === null ? wish.matches : stored() === "dark");
    wish.addEventListener("change", () => {
      if (stored() === null) this.set(wish.matches);
    });
  }

  toggle(): void {
    this.set(!this.dark);
    try {
      localStorage.setItem(KEY, this.dark ? "dark" : "light");
    } catch {
      // A browser that keeps nothing forgets the choice with the page.
    }
  }

  private set(dark: boolean): void {
    this.dark = dark;
    document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  }
}

export const theme = new Theme();
