/** Images of one's own, kept by this browser alone, so that the address of a page that shows one works again later. */

const DATABASE = "torchlurk-images";
const STORE = "images";
const KEPT = 24;

interface Kept {
  name: string;
  blob: Blob;
  when: number;
}

const memory = new Map<string, Blob>();

function database(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(DATABASE, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "name" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error("no database"));
  });
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("not stored"));
  });
}

export async function keep(name: string, blob: Blob): Promise<void> {
  memory.set(name, blob);
  try {
    const opened = await database();
    const store = opened.transaction(STORE, "readwrite").objectStore(STORE);
    await done(store.put({ name, blob, when: Date.now() } satisfies Kept));
    const all = ((await done(store.getAll())) as Kept[]).sort((a, b) => b.when - a.when);
    for (const old of all.slice(KEPT)) store.delete(old.name);
    opened.close();
  } catch {
    // A browser that keeps nothing forgets the image with the page.
  }
}

/** The image that the server knows by this name; null where this browser does not have it. */
export async function kept(name: string): Promise<Blob | null> {
  const known = memory.get(name);
  if (known) return known;
  try {
    const opened = await database();
    const found = (await done(opened.transaction(STORE).objectStore(STORE).get(name))) as Kept | undefined;
    opened.close();
    return found?.blob ?? null;
  } catch {
    return null;
  }
}
