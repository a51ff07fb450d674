/** What the pages know of running stages, and a number that grows whenever documents have changed. */
import { source } from "./source";
import type { Progress } from "../types/documents";

class Growth {
  version = $state(0);
  connected = $state(true);
  stages = $state<Record<string, Record<string, Progress>>>({});

  constructor() {
    source.watch({
      progress: (stage) => {
        const { study } = stage;
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

  running(study: string): Progress[] {
    return Object.values(this.stages[study] ?? {}).filter((stage) => stage.finished === null);
  }
}

export const growth = new Growth();
