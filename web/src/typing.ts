/** Whether keys go into a field, and are not for the page. */
const NOT_TYPED = new Set(["checkbox", "radio", "button", "file"]);

export function typing(event: KeyboardEvent): boolean {
  const at = event.target;
  return at instanceof HTMLSelectElement || at instanceof HTMLTextAreaElement || (at instanceof HTMLInputElement && !NOT_TYPED.has(at.type));
}
