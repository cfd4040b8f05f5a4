// Questions to the server. Of each kind only the newest counts: an older answer that comes later is dropped.

const newest = new Map();

export class Stale extends Error {}

export async function ask(kind, path, body) {
  newest.get(kind)?.abort();
  const control = new AbortController();
  newest.set(kind, control);
  let response, answer;
  try {
    response = await fetch(path, { signal: control.signal, ...(body ? { method: "POST", body: JSON.stringify(body),
      headers: { "content-type": "application/json" } } : {}) });
    answer = await response.json();
  } catch (error) {
    if (control.signal.aborted) throw new Stale();
    throw new Error("The server does not answer. Is “minibert demo” still running?");
  }
  if (newest.get(kind) !== control) throw new Stale();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
