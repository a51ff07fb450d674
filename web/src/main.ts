import { mount } from "svelte";
import App from "./App.svelte";
import "./styles.css";

const target = document.getElementById("app");
if (target === null) throw new Error("index.html has no #app");
// The token has become a cookie; it does not stay where others may read it: in the address, the history, a bookmark.
const address = new URL(location.href);
if (address.searchParams.has("token")) {
  address.searchParams.delete("token");
  history.replaceState(history.state, "", address);
}

mount(App, { target });
