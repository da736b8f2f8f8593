/** Asks for the API key of the server. The browser then has a session cookie, which this page cannot read. */

import { ApiError, signIn, signOut } from "../lib/api.js";
import { byId } from "../lib/dom.js";
import { storage } from "../lib/storage.js";

const dialog = /** @type {HTMLDialogElement} */ (byId("sign-in"));

/** Open the dialog, unless it is open already. */
export function showSignIn() {
  storage.set("key-needed", true);
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
    if (!(error instanceof ApiError)) throw error;
    byId("sign-in-error").textContent = error.status === 401 ? "Wrong API key." : error.message;
    key.select();
  }
});

dialog.addEventListener("cancel", (event) => event.preventDefault());

byId("sign-out").hidden = !storage.get("key-needed", false);
byId("sign-out").addEventListener("click", async () => {
  await signOut();
  location.reload();
});
