/** Requests to the server. Every address is relative to the page, whose path holds the token. */

const PATIENCE = 30; // seconds until a request counts as unanswered

/** An answer that is none: `status` 0 where the server cannot be reached. */
export class Refusal extends Error {
  constructor(status, message, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 403 || this.status >= 500;
  }
}

/**
 * The JSON that the server answers with.
 * @param {string} path
 * @param {{body?: object, signal?: AbortSignal, patience?: number}} options `body` is posted
 */
export async function request(path, { body, signal, patience = PATIENCE } = {}) {
  const post = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  return reached(signal, patience, async (limit) => {
    const response = await fetch(path, { ...post, signal: limit });
    await check(response);
    return response.json();
  });
}

/** A picture that the server answers with. */
export async function picture(path, { signal, patience = PATIENCE } = {}) {
  const blob = await reached(signal, patience, async (limit) => {
    const response = await fetch(path, { signal: limit });
    await check(response);
    return response.blob();
  });
  return createImageBitmap(blob);
}

/** @param {number} annotator @param {string} image */
export const imagePath = (annotator, image) =>
  `api/annotators/${annotator}/images/${encodeURIComponent(image)}`;

/**
 * A picture of the file that was opened, not of one that has taken its place since.
 * @param {{id: string, version: string}} image @param {string} which
 */
export const picturePath = ({ id, version }, which) =>
  `api/images/${encodeURIComponent(id)}/${which}?version=${version}`;

/** Does work that may fail on the way; what fails there is a `Refusal`, a cancelled one is not. */
async function reached(signal, patience, work) {
  const limit = new AbortController();
  const stop = () => limit.abort();
  const clock = setTimeout(stop, patience * 1000);
  signal?.addEventListener("abort", stop);
  try {
    return await work(limit.signal);
  } catch (error) {
    if (signal?.aborted || error instanceof Refusal) throw error;
    throw new Refusal(0, "the server cannot be reached");
  } finally {
    clearTimeout(clock);
    signal?.removeEventListener("abort", stop);
  }
}

async function check(response) {
  if (response.ok) return;
  const body = await response.json().catch(() => ({}));
  const { status } = response;
  throw new Refusal(status, body.message ?? `the server answered ${status}`, body);
}
