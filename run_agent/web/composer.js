/** Writing a message: its type, what it replies to, and how it will look. What is written is a draft until it is posted. */

import { make } from "./dom.js";
import { isAsking, OFFERED } from "./kinds.js";
import { excerpt, render } from "./markdown.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {Pick<import("./types.js").Post, "bus" | "body" | "type" | "parents">} Written */

const TALLEST = 320; // pixels of the text field; style.css may allow less
let made = 0;

export class Composer {
  /** @type {Bus | null} */ #bus = null;
  /** @type {Message | null} */ #parent = null;

  /**
   * @param {HTMLFormElement} form
   * @param {import("./drafts.js").Drafts} drafts
   * @param {(message: Written) => void} send
   * @param {() => void} [close]
   */
  constructor(form, drafts, send, close) {
    const id = `composer-${++made}`;
    this.form = form;
    this.drafts = drafts;
    this.send = send;
    this.close = close;
    this.body = /** @type {HTMLTextAreaElement} */ (
      make("textarea", {
        rows: 1,
        placeholder: "Write a message, in Markdown",
        "aria-label": "Message",
        spellcheck: "true",
      })
    );
    this.type = /** @type {HTMLInputElement} */ (
      make("input.type", { list: `${id}-types`, "aria-label": "Type", value: "USER", spellcheck: "false" })
    );
    const types = make("datalist", { id: `${id}-types` }, ...OFFERED.map((type) => make("option", { value: type })));
    this.preview = make("div.preview.body", { hidden: true, tabindex: 0, role: "region", "aria-label": "Preview" });
    this.look = make(
      "button.quiet",
      { type: "button", "aria-pressed": "false", onclick: () => this.#toggle() },
      "Preview",
    );
    this.to = make("div.to", { hidden: true });
    this.post = make("button.primary", { type: "submit" }, "Post");
    form.replaceChildren(
      this.to,
      this.body,
      this.preview,
      make("div.actions", {}, this.type, types, this.look, make("span.hint", {}, "Ctrl Enter posts"), this.post),
    );
    form.addEventListener("submit", (event) => this.#submit(event));
    form.addEventListener("keydown", (event) => this.#key(event));
    this.body.addEventListener("input", () => this.#changed());
    this.type.addEventListener("input", () => this.#changed());
  }

  /** Write to a conversation, or in reply to one of its messages: what was begun there is there. @param {Bus} bus @param {Message | null} [parent] */
  open(bus, parent = null) {
    this.#bus = bus;
    this.#parent = parent;
    this.form.hidden = false;
    this.to.hidden = !parent;
    const title = "Close it; what is written stays a draft";
    const close = make(
      "button.quiet",
      { type: "button", "aria-label": "Close", title, onclick: () => this.#leave() },
      "✕",
    );
    if (parent) this.to.replaceChildren(make("span", {}, `Reply to ${named(parent)}`), close);
    this.#take();
  }

  /** The draft may have been changed or posted in another window. */
  refresh() {
    if (!this.#bus) return;
    const draft = this.drafts.get(this.#bus, this.#parent?.msg_id);
    const isSame = draft ? draft.body === this.body.value && draft.type === this.type.value : !this.body.value.trim();
    if (!isSame) this.#take();
  }

  focus() {
    this.body.focus();
    this.#fit(); // it has a height only where it is seen
  }

  #take() {
    if (!this.#bus) return;
    const draft = this.drafts.get(this.#bus, this.#parent?.msg_id);
    this.body.value = draft?.body ?? "";
    this.type.value = draft?.type ?? (this.#parent && isAsking(this.#parent.type) ? "ANSWER" : "USER");
    this.#show();
  }

  #changed() {
    if (!this.#bus) return;
    const to = this.#parent ? { to: named(this.#parent) } : {};
    this.drafts.set(this.#bus, this.#parent?.msg_id, { body: this.body.value, type: this.type.value, ...to });
    this.#show();
  }

  #show() {
    this.#fit();
    if (!this.preview.hidden) this.preview.replaceChildren(render(this.body.value));
  }

  #fit() {
    this.body.style.height = "auto";
    this.body.style.height = `${Math.min(this.body.scrollHeight + 2, TALLEST)}px`;
  }

  #toggle() {
    this.preview.hidden = !this.preview.hidden;
    this.look.setAttribute("aria-pressed", String(!this.preview.hidden));
    this.#show();
    this.form.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    else if (event.key === "Escape") this.#leave();
    else return;
    event.preventDefault();
  }

  #leave() {
    this.body.blur();
    this.close?.();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const bus = this.#bus;
    const parent = this.#parent;
    const body = this.body.value;
    if (!bus || !body.trim()) return this.body.focus();
    const type = this.type.value.trim().toUpperCase() || "USER";
    const kind = parent && isAsking(parent.type) && type === "ANSWER" ? { kind: "answers" } : {};
    this.send({ bus, body, type, parents: parent ? [{ msg_id: parent.msg_id, ...kind }] : [] });
    this.drafts.delete(bus, parent?.msg_id);
    if (!this.preview.hidden) this.#toggle();
    this.#take();
    this.close?.();
  }
}

/** @param {Message} message */
const named = ({ type, body }) => `${type}: ${excerpt(body ?? "")}`;
