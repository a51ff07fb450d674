/** Whether an element has come into view, so that what it needs is asked for only then. */

/** Pixels around the screen that count as seen: what is about to be scrolled to is there in time. */
const AHEAD = 300;

export class Seen {
  yes = $state(false);

  constructor(private readonly ahead = AHEAD) {}

  watch = (element: Element): { destroy(): void } => {
    const observer = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        observer.disconnect();
        this.yes = true;
      },
      { rootMargin: `${this.ahead}px` },
    );
    observer.observe(element);
    return { destroy: () => observer.disconnect() };
  };
}
