// One request over `fetch`, led nowhere else, and no more of its answer than is wanted.

/** How long both may take, milliseconds. */
const TIMEOUT = 20_000;

// Answers status, `retry-after`, `etag` and text, which is null when it has more than `limit` bytes.
export async function exchange(method, url, headers, body, limit) {
  const signal = AbortSignal.timeout(TIMEOUT);
  const asked = { method, headers, body, cache: "no-store", redirect: "error", signal };
  const answer = await fetch(url, asked);
  const text = await read(answer.body, limit);
  return [answer.status, answer.headers.get("retry-after"), answer.headers.get("etag"), text];
}

async function read(body, limit) {
  const reader = body?.getReader();
  const chunks = [];
  for (let size = 0; reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > limit) {
      // What comes after is not waited for, however that ends.
      reader.cancel().catch(() => {});
      return null;
    }
    chunks.push(value);
  }
  return new Blob(chunks).text();
}
