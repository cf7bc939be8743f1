// Lists that are drawn again and again: an item keeps its node, and with it the focus and the pointer.

/** The attribute-free memory of a parent's items: key -> {node, update}. */
const memory = new WeakMap();

/**
 * Show items as the children of a node, in their order.
 *
 * keyOf: the key of an item. make: makes {node, update} for a new item; `update` gets the item each time.
 */
export function keyed(parent, items, keyOf, make) {
  const before = memory.get(parent) ?? new Map();
  const now = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const entry = before.get(key) ?? make(item);
    entry.update(item);
    now.set(key, entry);
    if (entry.node === place) place = place.nextElementSibling;
    else parent.insertBefore(entry.node, place);
  }
  const kept = new Set([...now.values()].map((entry) => entry.node));
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  memory.set(parent, now);
}
