/** The key of the server, asked for where it is needed; kept as a cookie that this page cannot read. */

import { Refused, signIn, signOut } from "./api.js";
import { byId } from "./dom.js";
import { kept } from "./kept.js";

const dialog = /** @type {HTMLDialogElement} */ (byId("sign-in"));

/** Ask for it, unless that is being done. */
export function askForKey() {
  kept.set("key-needed", true);
  if (!dialog.open) dialog.showModal();
}

byId("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = /** @type {HTMLInputElement} */ (byId("key"));
  try {
    await signIn(key.value);
    key.value = "";
    location.reload();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    byId("sign-in-error").textContent = error.status === 401 ? "This is not the key of this server." : error.message;
    key.select();
  }
});

dialog.addEventListener("cancel", (event) => event.preventDefault());

byId("sign-out").hidden = !kept.get("key-needed", false);
byId("sign-out").addEventListener("click", async () => {
  await signOut();
  location.reload();
});
