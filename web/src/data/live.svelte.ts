/** What the pages know of running stages, and a number that grows whenever documents have changed. */
import { source } from "./source";
import type { Stage } from "./types";

class Live {
  version = $state(0);
  connected = $state(true);
  stages = $state<Record<string, Record<string, Stage>>>({});

  constructor() {
    source.watch({
      progress: (study, stage) => {
        const before = this.stages[study]?.[stage.stage];
        this.stages[study] = { ...this.stages[study], [stage.stage]: stage };
        if (before && before.finished === null && stage.finished !== null) {
          source.forget({ study, layers: null });
          this.version += 1;
        }
      },
      changed: () => {
        this.version += 1;
      },
      connected: (yes) => {
        this.connected = yes;
      },
    });
  }

  running(study: string): Stage[] {
    return Object.values(this.stages[study] ?? {}).filter((stage) => stage.finished === null);
  }
}

export const live = new Live();
