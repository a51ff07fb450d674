import { layout, type Question } from "./layout";

onmessage = (event: MessageEvent<{ id: number; question: Question }>) => {
  postMessage({ id: event.data.id, layout: layout(event.data.question) });
};
