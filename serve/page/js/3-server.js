// Requests to this server, all with the page's id; the API key is kept here and nowhere else.
let apiKey = "";

class ServerError extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status; // 0: no answer
    this.retryAfter = retryAfter; // seconds
  }
}

// The response, when it is a good one; else throws ServerError (or AbortError).
async function request(path, options = {}) {
  const headers = { "x-vitrine-page": page.page, ...options.headers };
  if (apiKey) headers.authorization = `Bearer ${apiKey}`;
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, t("error.gone"));
  }
  if (response.ok) return response;
  let message = response.statusText;
  try {
    message = (await response.json()).error.message;
  } catch {
    // not an answer of this server's own: its status has to do
  }
  throw new ServerError(response.status, message, Number(response.headers.get("retry-after")) || 0);
}

// The events of a response of Server-Sent Events: {event, data}.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const lines = rest.slice(0, end).split("\n");
      rest = rest.slice(end + 2);
      const event = lines.find((line) => line.startsWith("event: "))?.slice(7) ?? "message";
      const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
      if (data.length) yield { event, data: data.join("\n") };
    }
  }
}

const wait = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
