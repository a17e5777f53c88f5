// Keeps the parts of a page current while runs go on: asks what has changed, and fetches only that.

const PAUSE = 900; // milliseconds between two questions
const AT_ONCE = 40; // parts in one answer, as the server limits it

// `root` has the addresses to ask (data-state, data-parts); `done` is called when nothing will change any more, with
// the parts that changed before that.
export async function follow(root, changed = () => {}) {
  if (!root?.dataset.state) return;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    if (document.hidden) continue;
    try {
      const { finished, parts } = await (await asked(root.dataset.state)).json();
      const stale = Object.keys(parts).filter((name) => part(name) && part(name).dataset.stamp !== parts[name]);
      for (let from = 0; from < stale.length; from += AT_ONCE) {
        await renew(root.dataset.parts, stale.slice(from, from + AT_ONCE));
      }
      if (stale.length) changed(stale);
      if (!finished) continue;
      if ("sorts" in root.dataset) location.reload();
      return;
    } catch (error) {
      if (error.cause === 404) return; // the session was deleted
      // Else the server is busy, or being started again: the next question tells.
    }
  }
}

const part = (name) => document.getElementById(name);

async function asked(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`, { cause: answer.status });
  return answer;
}

async function renew(address, names) {
  const query = names.map((name) => `&part=${encodeURIComponent(name)}`).join("");
  const text = await (await asked(address + query)).text();
  const found = new DOMParser().parseFromString(text, "text/html");
  for (const name of names) {
    const [before, after] = [part(name), found.getElementById(name)];
    if (before && after) exchange(before, document.adoptNode(after));
  }
}

// A map that is there is given the new numbers instead of being made anew: it does not flash, and keeps the focus.
function exchange(before, after) {
  const [shown, newer] = [before.querySelector("picasso-map"), after.querySelector("picasso-map")];
  if (!shown || !newer) return void before.replaceWith(after);
  for (const { name, value } of newer.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  before.dataset.stamp = after.dataset.stamp;
  for (const old of [...before.children].slice(1)) old.remove();
  before.append(...[...after.children].slice(1));
}
