// Questions to the server. Of each kind only the newest counts: an older answer that comes later is dropped.
// <body data-asking> says how many are open: at 0 the page has drawn all that it was told.

const newest = new Map();
let asking = 0;

export class Stale extends Error {}

export async function ask(kind, path, body) {
  newest.get(kind)?.abort();
  const control = new AbortController();
  newest.set(kind, control);
  let response, answer;
  document.body.dataset.asking = ++asking;
  try {
    response = await fetch(path, { signal: control.signal, ...(body ? { method: "POST", body: JSON.stringify(body),
      headers: { "content-type": "application/json" } } : {}) });
    answer = await response.json();
  } catch (error) {
    if (control.signal.aborted) throw new Stale();
    throw new Error("The server does not answer. Is “minibert demo” still running?");
  } finally {
    document.body.dataset.asking = --asking;
  }
  if (newest.get(kind) !== control) throw new Stale();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
