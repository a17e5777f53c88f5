// Asks the server what the model says, one question at a time. While one is under way, only the newest other one waits:
// those before it would be out of date when their turn comes.

const PATIENCE = 12_000; // milliseconds until a question counts as lost
const AGAIN = 500;

export class Asker {
  #waiting = null;
  #underWay = false;

  // `answered(classes, question, last)` hears what the model says, `last` when nothing else is to be asked; `failed` a
  // sentence, or nothing once all is well again.
  constructor(url, answered, failed) {
    Object.assign(this, { url, answered, failed });
  }

  ask(question) {
    this.#waiting = question;
    if (!this.#underWay) this.#go();
  }

  async #go() {
    this.#underWay = true;
    while (this.#waiting) {
      const question = this.#waiting;
      this.#waiting = null;
      const { classes, message, again } = await this.#send(question);
      if (classes) {
        this.failed("");
        this.answered(classes, question, !this.#waiting);
        continue;
      }
      this.failed(message);
      if (again) {
        this.#waiting ??= question;
        await new Promise((resume) => setTimeout(resume, AGAIN));
      }
    }
    this.#underWay = false;
  }

  async #send(question) {
    try {
      const response = await fetch(this.url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(question),
        signal: AbortSignal.timeout(PATIENCE),
      });
      const found = await response.json();
      return response.ok ? found : found.error;
    } catch {
      return { message: "Picasso does not answer. It is asked again.", again: true };
    }
  }
}

// What a script is sent besides: asked again as long as that helps. Throws an error with the server's sentence.
export async function load(path, query, failed) {
  const url = new URL(path, location);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  for (;;) {
    const response = await fetch(url);
    if (response.ok) return response;
    const { error } = await response.json();
    failed(error.message);
    if (!error.again) throw new Error(error.message);
    await new Promise((resume) => setTimeout(resume, AGAIN));
  }
}
