// The server. Every refusal becomes an ApiError with the server's sentence.

/** status 0: no answer at all. body: what the server said besides. */
export class ApiError extends Error {
  constructor(status, detail, body = {}) {
    super(detail);
    Object.assign(this, { status, body });
  }
}

const NO_ANSWER = "the server does not answer; is segattr annotate still running?";

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, NO_ANSWER);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ApiError(response.status, body.detail ?? `the server answered ${response.status}`, body);
}

async function json(path, options) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, NO_ANSWER);
  }
}

function sending(method, body, more = {}) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...more };
}

const photo = (key) => `/api/photos/${encodeURIComponent(key)}`;

export const api = {
  session: () => json("/api/session"),
  photos: (query, signal) => json(`/api/photos?${new URLSearchParams(query)}`, { signal }),
  photo: (key) => json(photo(key)),
  image: async (key) => (await request(`${photo(key)}/image`)).blob(),
  thumbUrl: (key, size = 160) => `${photo(key)}/image?thumb=${size}`,
  save: (record, more) => json(photo(record.key), sending("PUT", record, more)),
  rasterise: async (size, parts) => (await json("/api/rasterise", sending("POST", { size, parts }))).segmentation,
  polygons: async (segmentation, tolerance) =>
    (await json("/api/polygons", sending("POST", { segmentation, tolerance_px: tolerance }))).parts,
  click: async (key, asked, signal) =>
    (await json(`${photo(key)}/click`, sending("POST", asked, { signal }))).segmentation,
  export: (states) => json("/api/export", sending("POST", { states })),
};
