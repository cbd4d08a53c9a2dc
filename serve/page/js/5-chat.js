// The conversation. It lives in this script's memory and goes with the page.

const chat = {
  messages: [], // {role, content}, as they are sent
  model: "",
  running: null, // AbortController of the answer that is being written
  editing: false,
};

function showNotice(text, again) {
  byId("notice").hidden = !text;
  byId("notice-text").textContent = text ?? "";
  byId("notice-again").hidden = !again;
  byId("notice-again").onclick = again ? () => (showNotice(""), again()) : null;
}

function atBottom() {
  const log = byId("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 80;
}

const toBottom = () => byId("log").scrollTo({ top: byId("log").scrollHeight });

function addMessage(role, text = "") {
  byId("hello").hidden = true;
  const body = element("div", { class: "text" }, text);
  const item = element("li", { class: `message ${role}` }, element("span", { class: "unseen" }, t(`role.${role}`)), body);
  byId("messages").append(item);
  return { item, body };
}

class AnswerView {
  constructor() {
    const { item, body } = addMessage("assistant");
    this.item = item;
    this.item.classList.add("writing");
    this.item.setAttribute("aria-busy", "true");
    this.growing = new GrowingText(body);
    this.body = body;
    this.content = "";
    this.reasoning = "";
    this.painting = false;
  }

  add(delta) {
    this.content += delta.content ?? "";
    this.reasoning += delta.reasoning_content ?? "";
    if (this.painting) return;
    this.painting = true;
    requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.painting = false;
    const follow = atBottom();
    if (this.reasoning) {
      if (!this.thought) {
        this.fold = element("details", { class: "reasoning", open: true }, element("summary", {}, t("reasoning")), element("div", { class: "thought" }));
        this.thought = this.fold.lastElementChild;
        this.body.before(this.fold);
      }
      this.thought.textContent = this.reasoning;
      // Folded once, when the answer itself begins: a reader may open it again.
      if (this.content && !this.folded) {
        this.folded = true;
        this.fold.open = false;
      }
    }
    this.growing.grow(this.content);
    if (follow) toBottom();
  }

  end(note) {
    this.paint();
    this.item.classList.remove("writing");
    this.item.removeAttribute("aria-busy");
    if (note) this.item.append(element("p", { class: "foot" }, note));
    toBottom();
  }
}

// "stop" → "finished" and so on, with how much and how fast.
function footnote(finish, usage, seconds) {
  const parts = [];
  if (usage) {
    parts.push(t("foot.tokens", { n: count(usage.completion_tokens) }));
    if (seconds > 0 && usage.completion_tokens > 1) {
      parts.push(t("foot.speed", { n: ((usage.completion_tokens - 1) / seconds).toLocaleString(words.language, { maximumFractionDigits: 1 }) }));
    }
  }
  parts.push(t(`finish.${finish}`) || finish);
  return parts.join(" · ");
}

async function openStream(signal) {
  const body = JSON.stringify({ model: chat.model, messages: chat.messages, stream: true, stream_options: { include_usage: true } });
  for (let tries = 1; ; ++tries) {
    try {
      return await request("/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json" }, body, signal });
    } catch (error) {
      if (error.status !== 429 || tries > 5) throw error;
      const seconds = error.retryAfter || 1;
      showNotice(t("error.busy", { n: seconds }));
      await wait(seconds * 1000, signal);
      showNotice("");
    }
  }
}

async function answer() {
  const running = (chat.running = new AbortController());
  setRunning(true);
  const view = new AnswerView();
  let finish = "";
  let usage = null;
  let first = 0;
  let last = 0;
  try {
    for await (const { data } of events(await openStream(running.signal))) {
      if (data === "[DONE]") break;
      const piece = JSON.parse(data);
      if (piece.error) throw new ServerError(500, piece.error.message);
      usage = piece.usage ?? usage;
      for (const { delta, finish_reason: reason } of piece.choices ?? []) {
        if (delta.content || delta.reasoning_content) last = performance.now();
        first ||= last;
        view.add(delta);
        finish = reason ?? finish;
      }
    }
    if (!finish) throw new ServerError(0, t("error.cut"));
    view.end(footnote(finish, usage, (last - first) / 1000));
  } catch (error) {
    const stopped = running.signal.aborted;
    view.end(stopped ? t("finish.cancelled") : view.content || view.reasoning ? t("error.cut") : "");
    if (!view.content && !view.reasoning) view.item.remove();
    if (!stopped) failed(error);
    else if (!view.content) undo();
    finish = stopped ? "cancelled" : "failed";
  }
  // Of an answer that was cut the model may see what there is; of none, nothing.
  if (view.content) chat.messages.push({ role: "assistant", content: view.content });
  chat.running = null;
  setRunning(false);
  byId("status").textContent = t(`status.${finish === "failed" ? "failed" : "done"}`);
}

function failed(error) {
  if (error.status === 401) return askKey(error);
  const again = () => {
    if (chat.messages.at(-1)?.role === "assistant") chat.messages.pop();
    if (byId("messages").lastElementChild?.classList.contains("assistant")) byId("messages").lastElementChild.remove();
    answer();
  };
  const text = error.status === 0 || error.status === undefined ? error.message : t("error.refused", { status: error.status, why: error.message });
  showNotice(text, chat.messages.at(-1)?.role === "user" || error.status === 0 ? again : undefined);
}

function setRunning(running) {
  byId("send").textContent = t(running ? "stop" : "send");
  byId("send").classList.toggle("stop", running);
  byId("send").dataset.t = running ? "stop" : "send";
  if (running) byId("status").textContent = t("status.writing");
}

function send() {
  const text = byId("prompt").value.trim();
  if (!text || chat.running) return;
  showNotice("");
  if (chat.editing) takeBack();
  setPrompt("");
  chat.messages.push({ role: "user", content: text });
  addMessage("user", text);
  toBottom();
  answer();
}

const stop = () => chat.running?.abort();

function setPrompt(text) {
  byId("prompt").value = text;
  setEditing(false);
}

function setEditing(editing) {
  chat.editing = editing;
  byId("editing").hidden = !editing;
}

// The last message of the user, and what followed it, are no more.
function takeBack() {
  const at = chat.messages.findLastIndex((message) => message.role === "user");
  if (at < 0) return;
  chat.messages.length = at;
  const items = [...byId("messages").children];
  const from = items.findLastIndex((item) => item.classList.contains("user"));
  items.slice(from).forEach((item) => item.remove());
}

// Stopped before anything was answered: the message is back where it was written.
function undo() {
  const text = chat.messages.at(-1).content;
  takeBack();
  byId("hello").hidden = chat.messages.length > 0;
  if (byId("prompt").value === "") setPrompt(text);
}

function editLast() {
  const last = chat.messages.findLast((message) => message.role === "user");
  if (!last || chat.running) return;
  setPrompt(last.content);
  setEditing(true);
  byId("prompt").setSelectionRange(last.content.length, last.content.length);
}

function newChat() {
  stop();
  chat.messages = [];
  byId("messages").replaceChildren();
  byId("hello").hidden = false;
  setPrompt("");
  showNotice("");
  byId("prompt").focus();
}

async function loadModel() {
  try {
    const list = await (await request("/v1/models")).json();
    chat.model = list.data[0].id;
    byId("model").textContent = chat.model;
  } catch (error) {
    failed(error);
  }
}
