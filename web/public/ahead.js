// Asks for the first document while the app itself is still on its way.
(() => {
  const study = location.hash.split("/")[1]?.split("?")[0];
  const ahead = document.createElement("link");
  ahead.rel = "preload";
  ahead.as = "fetch";
  ahead.crossOrigin = "anonymous";
  ahead.href = study ? `data/${study}/study.json` : "data/studies.json";
  document.head.append(ahead);
})();
