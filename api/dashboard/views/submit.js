import { el } from "../dom.js";

export default async function view(root) {
  root.append(el("h1", {}, "submit"));
}
