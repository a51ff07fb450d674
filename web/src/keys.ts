/** Which keys are for a page. */

/** Kinds of input that take no letters and no arrows. */
const NOT_TYPED = new Set(["checkbox", "radio", "button", "file"]);

/** Whether a modifier makes it a shortcut of the browser or the system; shift is none. */
export function modified(event: KeyboardEvent): boolean {
  return event.ctrlKey || event.metaKey || event.altKey;
}

/** Not those with a modifier, not those that a field takes, and none while a dialog is open. */
export function forPage(event: KeyboardEvent): boolean {
  return !modified(event) && !inField(event.target) && document.querySelector("dialog[open]") === null;
}

function inField(at: EventTarget | null): boolean {
  return at instanceof HTMLSelectElement || at instanceof HTMLTextAreaElement || (at instanceof HTMLInputElement && !NOT_TYPED.has(at.type));
}
