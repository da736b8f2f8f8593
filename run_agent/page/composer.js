/** Writing a message: its type, what it replies to, and how it will look. */

import { kept, make } from "./dom.js";
import { isAsking, OFFERED } from "./kinds.js";
import { excerpt, render } from "./markdown.js";

/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Relation} Relation */

let made = 0;

export class Composer {
  /** @type {Message | null} */ #parent = null;
  #draft = "";

  /**
   * @param {HTMLFormElement} form
   * @param {(message: {body: string, type: string, parents: Relation[]}) => void} send
   * @param {() => void} [cancel]
   */
  constructor(form, send, cancel) {
    const id = `composer-${++made}`;
    this.form = form;
    this.send = send;
    this.cancel = cancel;
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
    this.preview = make("div.preview.body", { hidden: true });
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
  }

  /** Write to this conversation: its draft is kept over reloads. @param {string} name */
  open(name) {
    this.#draft = name && `draft:${name}`;
    this.body.value = this.#draft ? kept.get(this.#draft, "") : "";
    this.replyTo(null);
    this.form.hidden = false;
    this.#changed();
  }

  /** @param {Message | null} message */
  replyTo(message) {
    this.#parent = message;
    this.type.value = message && isAsking(message.type) ? "ANSWER" : "USER";
    this.to.hidden = !message;
    if (!message) return;
    const close = make(
      "button.quiet",
      { type: "button", "aria-label": "No reply", onclick: () => this.#cancel() },
      "✕",
    );
    this.to.replaceChildren(make("span", {}, `Reply to ${message.type}: ${excerpt(message.body ?? "")}`), close);
  }

  focus() {
    this.body.focus();
  }

  #changed() {
    this.body.style.height = "auto";
    this.body.style.height = `${Math.min(this.body.scrollHeight + 2, 320)}px`;
    if (this.#draft) kept.set(this.#draft, this.body.value);
    if (!this.preview.hidden) this.preview.replaceChildren(render(this.body.value));
  }

  #toggle() {
    this.preview.hidden = !this.preview.hidden;
    this.look.setAttribute("aria-pressed", String(!this.preview.hidden));
    this.#changed();
    this.form.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    else if (event.key === "Escape") this.#cancel();
    else return;
    event.preventDefault();
  }

  #cancel() {
    this.replyTo(null);
    this.body.blur();
    this.cancel?.();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const body = this.body.value;
    if (!body.trim()) return this.body.focus();
    const kind = this.#parent && isAsking(this.#parent.type) && this.type.value === "ANSWER" ? { kind: "answers" } : {};
    const parents = this.#parent ? [{ msg_id: this.#parent.msg_id, ...kind }] : [];
    const type = this.type.value.trim().toUpperCase() || "USER";
    this.body.value = "";
    if (!this.preview.hidden) this.#toggle();
    this.#changed();
    this.replyTo(null);
    this.send({ body, type, parents });
  }
}
