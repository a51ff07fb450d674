/** The image that a page is about: opened in the model by its name in the address, or dropped by hand. */
import { load, type Loaded } from "../data/loading.svelte";
import { about, OpenImage, type Shown } from "../data/model";
import type { About, Overview } from "../types/answers";
import { DataError, source } from "../data/source";
import { keep, kept } from "./own_images";

const MIB = 2 ** 20;
const MOST_BYTES = 16 * MIB;
/** The name of the mean over a class's examples. */
const OF_CLASS = /^class-(\d+)$/;

/** The image as the network sees it. */
export interface Photo {
  url: string;
  size: [width: number, height: number];
}

export interface Opened {
  /** The study's name in addresses, and the image's. */
  name: string;
  image: OpenImage;
  overview: Overview;
  photo: Photo;
}

/** The class whose mean a name stands for; null for the name of an image. */
export function classOf(name: string): number | null {
  const found = OF_CLASS.exec(name);
  return found ? Number(found[1]) : null;
}

export class OneImage {
  /** Null where there is no model beside the study. */
  readonly about: Loaded<About | null>;
  opened = $state.raw<Opened | null>(null);
  /** Why the image of the address cannot be opened. */
  trouble = $state.raw<unknown>(null);
  /** What is wrong with an image that was dropped. */
  refused = $state.raw<unknown>(null);
  /** Set for as long as the server is gone. */
  gone = $state.raw<DataError | null>(null);
  /** Whether a dropped image is on its way. */
  opening = $state(false);

  constructor(
    private readonly slug: () => string,
    name: () => string,
  ) {
    this.about = load((signal) => (source.served() ? about(slug(), signal) : Promise.resolve(null)), { of: slug });
    $effect(() => this.follow(name()));
    $effect(() => () => this.opened?.image.close());
  }

  /** Opens an image of one's own; its name, or null where it is refused. */
  async take(file: Blob): Promise<string | null> {
    if (!this.about.value) return null;
    this.opening = true;
    try {
      if (file.size > MOST_BYTES) {
        throw new DataError("TooLarge", `the image has ${Math.round(file.size / MIB)} MiB, more than ${MOST_BYTES / MIB}`, "send a smaller image");
      }
      const image = this.begin({ file });
      const { image: name } = await image.overview();
      await keep(name, file);
      this.opened?.image.close();
      await this.look(name, image);
      this.refused = null;
      return name;
    } catch (error) {
      this.refused = error;
      return null;
    } finally {
      this.opening = false;
    }
  }

  private follow(name: string): (() => void) | undefined {
    if (!this.about.value || name === "" || this.opened?.name === this.called(name)) return undefined;
    this.opened?.image.close();
    [this.opened, this.trouble] = [null, null];
    let current = true;
    void (async () => {
      try {
        const shown = await named(name);
        if (current) await this.look(name, this.begin(shown));
      } catch (error) {
        if (current) this.trouble = error;
      }
    })();
    return () => {
      current = false;
    };
  }

  private begin(shown: Shown): OpenImage {
    return new OpenImage(this.slug(), shown, (error) => (this.gone = error));
  }

  private async look(name: string, image: OpenImage): Promise<void> {
    const called = this.called(name);
    const overview = await image.overview();
    const url = await dataAddress(await image.picture());
    this.opened = { name: called, image, overview, photo: { url, size: overview.size } };
  }

  private called(name: string): string {
    return `${this.slug()}/${name}`;
  }
}

async function named(name: string): Promise<Shown> {
  if (/^\d+$/.test(name)) return { example: Number(name) };
  const meant = classOf(name);
  if (meant !== null) return { class: meant };
  const blob = await kept(name);
  if (blob) return { file: blob };
  throw new DataError("UnknownImage", "This browser does not have that image.", "Images of one's own stay in the browser that opened them: drop it here again.");
}

function dataAddress(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error("cannot be read"));
    reader.readAsDataURL(blob);
  });
}
