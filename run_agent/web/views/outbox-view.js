/** The posts above the composer that are being sent or have failed. */

import { byId, make } from "../lib/dom.js";
import { excerpt } from "../lib/markdown.js";
import { Outbox } from "../model/outbox.js";
import { busName } from "../model/route.js";

/** @typedef {import("../types.js").Post} Post */

/** An outbox that shows itself. @param {(error: import("../lib/api.js").ApiError) => void} onError */
export function createOutbox(onError) {
  const element = byId("outbox");
  const show = () => element.replaceChildren(...outbox.posts.map((post) => row(outbox, post)));
  const outbox = new Outbox(show, onError);
  show();
  return outbox;
}

/** @param {Outbox} outbox @param {Post} post */
function row(outbox, post) {
  const isFailed = post.state === "failed";
  const label = isFailed
    ? `Not posted to ${busName(post.bus)}: ${post.error || "the page was closed"}`
    : `Posting to ${busName(post.bus)}…`;
  return make(
    isFailed ? "div.post.failed" : "div.post",
    { role: isFailed ? "alert" : "status" },
    make("span.label", {}, label, make("span.excerpt", {}, excerpt(post.body))),
    isFailed && make("button", { type: "button", onclick: () => outbox.send(post) }, "Retry"),
    isFailed && make("button.quiet", { type: "button", onclick: () => outbox.discard(post) }, "Discard"),
  );
}
