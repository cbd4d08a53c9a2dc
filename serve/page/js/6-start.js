// What happens when.

// The server asks for a key: once at the beginning, again when one is refused.
function askKey(error) {
  const dialog = byId("key");
  byId("key-wrong").hidden = !(error && apiKey);
  if (!dialog.open) dialog.showModal();
}

function useKey() {
  const key = byId("key-text").value.trim();
  if (!key) return;
  apiKey = key;
  byId("key-text").value = "";
  byId("key").close();
  begin();
}

async function begin() {
  await loadModel();
  if (chat.model) followGlass();
  byId("prompt").focus();
}

function openGlass(open) {
  byId("columns").classList.toggle("closed", !open);
  byId("glass-toggle").setAttribute("aria-expanded", String(open));
  if (narrow.matches) (open ? byId("glass-close") : byId("glass-toggle")).focus();
}
const narrow = matchMedia("(max-width: 60rem)");

function onPromptKey(event) {
  if (event.isComposing || event.keyCode === 229) return; // an input method still decides what was typed
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && byId("prompt").value === "") {
    event.preventDefault();
    editLast();
  }
}

function onKey(event) {
  if (event.key !== "Escape" || event.isComposing) return;
  if (chat.running) stop();
  else if (chat.editing) setPrompt("");
  else if (narrow.matches && !byId("columns").classList.contains("closed")) openGlass(false);
}

function showExamples() {
  byId("examples").replaceChildren(...["1", "2", "3"].map((n) => {
    const button = element("button", { type: "button" }, t(`example.${n}`));
    button.addEventListener("click", () => {
      byId("prompt").value = t(`example.${n}`);
      send();
    });
    return button;
  }));
}

function speak(language) {
  say(language);
  showExamples();
  showGlass();
}

byId("prompt").addEventListener("keydown", onPromptKey);
document.addEventListener("keydown", onKey);
byId("send").addEventListener("click", () => (chat.running ? stop() : send()));
byId("fresh").addEventListener("click", newChat);
byId("language").addEventListener("click", () => speak(words.language === "ko" ? "en" : "ko"));
byId("glass-toggle").addEventListener("click", () => openGlass(byId("columns").classList.contains("closed")));
byId("glass-close").addEventListener("click", () => openGlass(false));
byId("filter").addEventListener("input", (event) => {
  glass.text = event.target.value.trim();
  filter();
});
byId("key-use").addEventListener("click", useKey);
byId("key-text").addEventListener("keydown", (event) => event.key === "Enter" && useKey());
byId("key").addEventListener("cancel", (event) => event.preventDefault());
if (narrow.matches) byId("columns").classList.add("closed"), byId("glass-toggle").setAttribute("aria-expanded", "false");

Object.assign(words, await (await request("/page/words.json")).json());
speak(words.language);
if (page.keys) askKey();
else begin();
