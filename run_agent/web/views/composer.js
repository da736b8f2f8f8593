/** The form in which a message is written: text, type and preview. The text is a draft until it is posted. */

import { make } from "../lib/dom.js";
import { excerpt, render } from "../lib/markdown.js";
import { needsAnswer, SUGGESTED_TYPES } from "../model/message-types.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").Message} Message */

const MAX_HEIGHT = 320; // pixels of the text field; style.css may allow less
let instances = 0;

export class Composer {
  /** @type {Bus | null} */ #bus = null;
  /** @type {Message | null} */ #parent = null;

  /**
   * @param {HTMLFormElement} form
   * @param {import("../model/drafts.js").Drafts} drafts
   * @param {(message: import("../types.js").NewMessage) => void} onSubmit
   * @param {() => void} [onClose] after submitting, too
   */
  constructor(form, drafts, onSubmit, onClose) {
    const id = `composer-${++instances}`;
    this.form = form;
    this.drafts = drafts;
    this.onSubmit = onSubmit;
    this.onClose = onClose;
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
    const options = SUGGESTED_TYPES.map((type) => make("option", { value: type }));
    const types = make("datalist", { id: `${id}-types` }, ...options);
    this.preview = make("div.preview.body", { hidden: true, tabindex: 0, role: "region", "aria-label": "Preview" });
    this.previewButton = make(
      "button.quiet",
      { type: "button", "aria-pressed": "false", onclick: () => this.#togglePreview() },
      "Preview",
    );
    this.heading = make("div.reply-heading", { hidden: true });
    form.replaceChildren(
      this.heading,
      this.body,
      this.preview,
      make(
        "div.actions",
        {},
        this.type,
        types,
        this.previewButton,
        make("span.hint", {}, "Ctrl+Enter to post"),
        make("button.primary", { type: "submit" }, "Post"),
      ),
    );
    form.addEventListener("submit", (event) => this.#submit(event));
    form.addEventListener("keydown", (event) => this.#keyPressed(event));
    this.body.addEventListener("input", () => this.#saveDraft());
    this.type.addEventListener("input", () => this.#saveDraft());
  }

  // API

  /** Show the draft of a conversation, or of a reply to one of its messages. @param {Bus} bus @param {Message | null} [parent] */
  open(bus, parent = null) {
    this.#bus = bus;
    this.#parent = parent;
    this.form.hidden = false;
    this.heading.hidden = !parent;
    const title = "Close; the text stays as a draft";
    const close = make(
      "button.quiet",
      { type: "button", "aria-label": "Close", title, onclick: () => this.#close() },
      "✕",
    );
    if (parent) this.heading.replaceChildren(make("span", {}, `Reply to ${describe(parent)}`), close);
    this.#loadDraft();
  }

  /** Show the draft again: another window may have changed or posted it. */
  refresh() {
    if (!this.#bus) return;
    const draft = this.drafts.get(this.#bus, this.#parent?.msg_id);
    const isSame = draft ? draft.body === this.body.value && draft.type === this.type.value : !this.body.value.trim();
    if (!isSame) this.#loadDraft();
  }

  focus() {
    this.body.focus();
    this.#fitHeight(); // a hidden field has no height
  }

  // Internal

  #loadDraft() {
    if (!this.#bus) return;
    const draft = this.drafts.get(this.#bus, this.#parent?.msg_id);
    this.body.value = draft?.body ?? "";
    this.type.value = draft?.type ?? (this.#parent && needsAnswer(this.#parent.type) ? "ANSWER" : "USER");
    this.#update();
  }

  #saveDraft() {
    if (!this.#bus) return;
    const to = this.#parent ? { to: describe(this.#parent) } : {};
    this.drafts.set(this.#bus, this.#parent?.msg_id, { body: this.body.value, type: this.type.value, ...to });
    this.#update();
  }

  #update() {
    this.#fitHeight();
    if (!this.preview.hidden) this.preview.replaceChildren(render(this.body.value));
  }

  #fitHeight() {
    this.body.style.height = "auto";
    this.body.style.height = `${Math.min(this.body.scrollHeight + 2, MAX_HEIGHT)}px`;
  }

  #togglePreview() {
    this.preview.hidden = !this.preview.hidden;
    this.previewButton.setAttribute("aria-pressed", String(!this.preview.hidden));
    this.#update();
    this.form.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #keyPressed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    else if (event.key === "Escape") this.#close();
    else return;
    event.preventDefault();
  }

  #close() {
    this.body.blur();
    this.onClose?.();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const bus = this.#bus;
    const parent = this.#parent;
    const body = this.body.value;
    if (!bus || !body.trim()) return this.body.focus();
    const type = this.type.value.trim().toUpperCase() || "USER";
    const kind = parent && needsAnswer(parent.type) && type === "ANSWER" ? { kind: "answers" } : {};
    this.onSubmit({ bus, body, type, parents: parent ? [{ msg_id: parent.msg_id, ...kind }] : [] });
    this.drafts.delete(bus, parent?.msg_id);
    if (!this.preview.hidden) this.#togglePreview();
    this.#loadDraft();
    this.onClose?.();
  }
}

/** @param {Message} message */
const describe = ({ type, body }) => `${type}: ${excerpt(body ?? "")}`;
