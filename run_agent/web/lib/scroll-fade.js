/** Fades out the edges of a scrolling element beyond which there is more to see. */

/** @param {HTMLElement} element */
export function fadeEdges(element) {
  const update = () => {
    const { scrollLeft, scrollWidth, clientWidth, scrollTop, scrollHeight, clientHeight, classList } = element;
    classList.toggle("more-left", scrollLeft > 1);
    classList.toggle("more-right", scrollWidth - scrollLeft - clientWidth > 1);
    classList.toggle("more-above", scrollTop > 1);
    classList.toggle("more-below", scrollHeight - scrollTop - clientHeight > 1);
  };
  element.addEventListener("scroll", update, { passive: true });
  const sizes = new ResizeObserver(update);
  for (const observed of [element, ...element.children]) sizes.observe(observed);
  new MutationObserver(update).observe(element, { childList: true, subtree: true });
}
